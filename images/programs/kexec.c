// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec KERNEL INITRAMFS PARAMETERS: load another kernel, and start it in the
 * place of this one as soon as whoever asked has had time to hear of the status.
 *
 * Exit status: 0 when it is loaded, 1 for the kernel's refusal, 2 for a wrong call.
 */
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DELAY_US	500000

static void start(void)
{
	setsid();
	close(0);
	close(1);
	close(2);
	usleep(DELAY_US);
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
}

int main(int argc, char **argv)
{
	int kernel, initramfs;

	if (argc != 4) {
		fprintf(stderr, "usage: kexec KERNEL INITRAMFS PARAMETERS\n");
		return 2;
	}
	kernel = open(argv[1], O_RDONLY);
	initramfs = open(argv[2], O_RDONLY);
	/* The length of the parameters counts their end. */
	if (kernel < 0 || initramfs < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initramfs, strlen(argv[3]) + 1, argv[3], 0UL)) {
		perror("kexec");
		return 1;
	}
	if (!fork())
		start();
	return 0;
}
