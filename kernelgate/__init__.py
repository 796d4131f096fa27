# SPDX-License-Identifier: GPL-2.0-only
"""Build Linux kernels with a patch series, boot them in QEMU, judge what they print.

README.md, "Architecture", says what each module is for and which may import which.
"""
