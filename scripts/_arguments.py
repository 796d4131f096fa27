# SPDX-License-Identifier: GPL-2.0-only
"""The command line of the scripts here: their documentation is their help, and what they cannot read is one line."""

import argparse
from typing import NoReturn


class Arguments(argparse.ArgumentParser):
    """A parser whose help is DESCRIPTION as it stands, and that ends with 4 for a mistake, as the gate does."""

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """End with the status of a user's mistake (README, "What the verdict means")."""
        self.exit(4, f"{self.prog}: {message} (--help says what there is)\n")
