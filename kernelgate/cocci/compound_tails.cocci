// SPDX-License-Identifier: GPL-2.0-only
// S-06: where tail pages are made of memory that held no struct pages before, and which of them are frozen.
// A tail that prep_compound_tail() makes of a page that somebody has already set up is not looked for.
@init@
expression T;
position p;
@@
 init_compound_tail@p(T, ...)

@script:python@
p << init.p;
@@
print("init_compound_tail %s %s" % (p[0].file, p[0].line))

@own@
expression T;
position p;
@@
 \(__init_single_page\|__init_zone_device_page\)(T, ...);
 ... when any
 prep_compound_tail@p(T, ...);

@script:python@
p << own.p;
@@
print("prep_compound_tail %s %s" % (p[0].file, p[0].line))

@after@
expression T;
position p;
@@
 \(init_compound_tail@p\|prep_compound_tail@p\)(T, ...);
 ... when any
 \(set_page_count_frozen\|__set_page_count_frozen\)(T);

@script:python@
p << after.p;
@@
print("frozen %s %s" % (p[0].file, p[0].line))

@before@
expression T;
position p;
@@
 \(set_page_count_frozen\|__set_page_count_frozen\)(T);
 ... when any
 \(init_compound_tail@p\|prep_compound_tail@p\)(T, ...);

@script:python@
p << before.p;
@@
print("frozen %s %s" % (p[0].file, p[0].line))
