/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finding functions that the kernel does not export.
 *
 * kallsyms_lookup_name() is exported by no kernel since 5.7, but a kprobe may
 * be put on it, and a registered kprobe knows the address. Needs
 * CONFIG_KPROBES and CONFIG_KALLSYMS; on x86 CONFIG_X86_KERNEL_IBT would seal
 * the functions against such calls.
 */
#ifndef KG_SYMBOLS_H
#define KG_SYMBOLS_H

#include <linux/kprobes.h>

typedef unsigned long (*kg_lookup_name_fn)(const char *name);

/* A registration waits for all CPUs, so it is done once. */
static inline kg_lookup_name_fn kg_find_lookup_name(void)
{
	static kg_lookup_name_fn found;
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (!found && !register_kprobe(&probe)) {
		found = (kg_lookup_name_fn)probe.addr;
		unregister_kprobe(&probe);
	}
	return found;
}

/* The address of @name, or NULL when this kernel has no such function. */
static inline void *kg_lookup(const char *name)
{
	kg_lookup_name_fn lookup_name = kg_find_lookup_name();

	return lookup_name ? (void *)lookup_name(name) : NULL;
}

/* For a handler at the first instruction of a function: go on as if that had returned. */
static inline void kg_return(struct pt_regs *regs)
{
#ifdef CONFIG_X86
	regs->ip = *(unsigned long *)regs->sp;
	regs->sp += sizeof(unsigned long);
#else
	instruction_pointer_set(regs, procedure_link_pointer(regs));
#endif
}

#endif
