/* The sets of instructions that kernels are compiled for, and which of them the processor has.

   The work of a kernel is a header that is included once for each: TARGET(name) gives names a suffix, and
   ATTRIBUTE the instructions.  SUFFIX, ATTRIBUTE and LANES are set by who includes it. */

#ifndef SKLSTRUCT_INSTRUCTIONS_H
#define SKLSTRUCT_INSTRUCTIONS_H

#include <Python.h>
#include <stdlib.h>
#include <string.h>

#ifndef __GNUC__
#error "Vector types of GCC or Clang are needed."
#endif

#define ALIGNMENT 64

#define PASTE(name, suffix, lanes) name##suffix##lanes
#define JOIN(name, suffix, lanes) PASTE(name, suffix, lanes)
#define TARGET(name) JOIN(name, SUFFIX, LANES)

#if defined(__clang__) /* which drops the whole attribute over a word that it does not know */
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")))
#else
#define AVX512                                                                                    \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")))
#endif
#define AVX2 __attribute__((target("avx2,fma")))

/* The names of the sets, the best one first: kernels are listed in the same order. */
static const char *const SETS[] = {
#if defined(__x86_64__)
    "avx512", "avx2",
#endif
    "plain",
};
enum { N_SETS = sizeof(SETS) / sizeof(SETS[0]) };

/* Return whether the processor has the instructions of a set. */
static int supported(const char *name) {
#if defined(__x86_64__)
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return strcmp(name, "plain") == 0;
}

/* Return the number of a set that the processor can run, or -1. */
static int find_set(const char *name) {
    for (int i = 0; i < N_SETS; i++)
        if (strcmp(SETS[i], name) == 0 && supported(name)) return i;
    return -1;
}

/* available(): the names of the sets that the processor can run, for Python. */
static PyObject *available(PyObject *self, PyObject *args) {
    (void)self, (void)args;
    PyObject *names = PyList_New(0);
    for (int i = 0; names && i < N_SETS; i++) {
        if (!supported(SETS[i])) continue;
        PyObject *name = PyUnicode_FromString(SETS[i]);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

/* The threads that torch has: two pools would fight for the processor.  Where torch brought no
   such library, one thread does it all. */
#if defined(__linux__)
extern void GOMP_parallel(void (*work)(void *), void *data, unsigned threads, unsigned flags)
    __attribute__((weak));
#else
static void (*const GOMP_parallel)(void (*)(void *), void *, unsigned, unsigned) = NULL;
#endif

/* Let so many threads do this work. */
static inline void in_threads(void (*work)(void *), void *data, long threads) {
    if (threads > 1 && GOMP_parallel)
        GOMP_parallel(work, data, (unsigned)threads, 0);
    else
        work(data);
}

static inline void *aligned(size_t bytes) {
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

#endif
