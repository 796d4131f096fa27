// SPDX-License-Identifier: GPL-2.0-only
// S-05: a count compared with less than zero, at once or by way of a variable.
@direct@
expression E;
position p;
@@
(
 page_ref_count@p(E) < 0
|
 folio_ref_count@p(E) < 0
|
 page_count@p(E) < 0
|
 page_ref_count@p(E) <= -1
|
 folio_ref_count@p(E) <= -1
|
 page_count@p(E) <= -1
)

@script:python@
p << direct.p;
@@
print("direct %s %s" % (p[0].file, p[0].line))

@later@
expression E;
local idexpression int v;
position p;
@@
 v = \(page_ref_count\|folio_ref_count\|page_count\)(E)
 ... when != v = ...
 v@p < 0

@script:python@
p << later.p;
@@
print("later %s %s" % (p[0].file, p[0].line))
