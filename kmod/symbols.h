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

/* The address of @name, or NULL when this kernel has no such function. */
static inline void *kg_lookup(const char *name)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	kg_lookup_name_fn lookup_name;

	if (register_kprobe(&probe))
		return NULL;
	lookup_name = (kg_lookup_name_fn)probe.addr;
	unregister_kprobe(&probe);
	return (void *)lookup_name(name);
}

#endif
