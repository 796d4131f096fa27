// SPDX-License-Identifier: GPL-2.0-only
// S-04: an atomic operation on a page's _refcount, and the counter inside it.
@call@
identifier f =~ "^(raw_|arch_)*atomic_";
expression E;
position p;
@@
(
 f@p(..., &E->_refcount, ...)
|
 f@p(..., &E._refcount, ...)
)

@script:python@
p << call.p;
@@
print("call %s %s" % (p[0].file, p[0].line))

@inside@
expression E;
position p;
@@
(
 E->_refcount@p.counter
|
 E._refcount@p.counter
)

@script:python@
p << inside.p;
@@
print("inside %s %s" % (p[0].file, p[0].line))
