// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest of a dozen instructions for QEMU's arm64 `virt` machine: after its code
 * comes one letter, then text up to a NUL. It prints the text, then by the letter
 * spins (s), resets the machine (r), or resets it a good second later (d).
 */
	adr	x0, what
	ldrb	w4, [x0], #1
	mov	x1, #0x09000000		// the pl011's data register
	cmp	w4, #'d'
	b.eq	ready
print:	ldrb	w2, [x0], #1
	cbz	w2, end
	str	w2, [x1]
	b	print
end:	cmp	w4, #'s'
	b.ne	reset
	b	.
ready:	ldrb	w2, [x0], #1		// the first line, now
	str	w2, [x1]
	cmp	w2, #'\n'
	b.ne	ready
	mrs	x5, cntfrq_el0
	mrs	x6, cntvct_el0
	add	x5, x5, x6
wait:	mrs	x6, cntvct_el0
	cmp	x6, x5
	b.lt	wait
	b	print			// and the rest
reset:	mov	x0, #0x84000000		// PSCI's SYSTEM_RESET, 0x84000009
	add	x0, x0, #9
	hvc	#0
what:
