/* Scattering of many signals at a time, in the lanes of vectors: the Python side of it.

   The transform itself is in _lanes.h, which is compiled once for each instruction set; the
   best one that the processor has is taken at run time. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef __GNUC__
#error "Vector types of GCC or Clang are needed."
#endif

#define WIDE 16 /* lanes */
#define NARROW 4
#define ALIGNMENT 64
#define BLOCK 32 /* terms of a partial sum */
#define MAX_RADIX 31
#define MAX_PASSES 32
#define MAX_LEVELS 32
#define PI 3.14159265358979323846

/* How to transform a line: the radices, the twiddle factors after each pass, and the roots of
   unity of a radix that has no function of its own. */
typedef struct {
    long length;
    int passes;
    long radix[MAX_PASSES];
    float *twiddle[MAX_PASSES], *roots[MAX_PASSES];
} Line;

typedef struct {
    Line rows, columns;
} Grid;

/* A path: the level of its modulus, its children, which follow each other, and its last
   wavelet, a spectrum on the grid of its parent. */
typedef struct {
    int64_t level, first_child, children, psi;
} Path;

typedef struct {
    int levels;
    Grid grid[MAX_LEVELS];
    const float *average_rows[MAX_LEVELS], *average_columns[MAX_LEVELS];
    long out_height, out_width, height, width, n_paths;
    const int64_t *row_source, *column_source;
    const Path *path;
    const float *filters;
} Plan;

/* Every combination of instructions and lanes. */
#define PASTE(name, suffix, lanes) name##suffix##lanes
#define JOIN(name, suffix, lanes) PASTE(name, suffix, lanes)
#define TARGET(name) JOIN(name, SUFFIX, LANES)

#if defined(__x86_64__)
#define SUFFIX _avx512_
#define ATTRIBUTE                                                                                 \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512")))
#define LANES 16
#include "_lanes.h"
#undef LANES
#define LANES 4
#include "_lanes.h"
#undef LANES
#undef SUFFIX
#undef ATTRIBUTE
#define SUFFIX _avx2_
#define ATTRIBUTE __attribute__((target("avx2,fma")))
#define LANES 16
#include "_lanes.h"
#undef LANES
#define LANES 4
#include "_lanes.h"
#undef LANES
#undef SUFFIX
#undef ATTRIBUTE
#endif
#define SUFFIX _plain_
#define ATTRIBUTE
#define LANES 16
#include "_lanes.h"
#undef LANES
#define LANES 4
#include "_lanes.h"
#undef LANES

typedef void (*Scatter)(const Plan *, const float *const *, void *, void *, float *const *);
typedef void (*ScatterOne)(const Plan *, const float *, void *, void *, float *);
typedef struct {
    Scatter wide, narrow;
    ScatterOne one;
} Kernels;

static Kernels best_kernels(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"))
        return (Kernels){scatter_avx512_16, scatter_avx512_4, scatter_one_avx512_4};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (Kernels){scatter_avx2_16, scatter_avx2_4, scatter_one_avx2_4};
#endif
    return (Kernels){scatter_plain_16, scatter_plain_4, scatter_one_plain_4};
}

/* --- plans --------------------------------------------------------------------------------- */

static long next_radix(long n) {
    const long preferred[] = {4, 5, 3, 2};
    for (int i = 0; i < 4; i++)
        if (n % preferred[i] == 0) return preferred[i];
    for (long radix = 7; radix <= MAX_RADIX; radix += 2)
        if (n % radix == 0) return radix;
    return 0;
}

/* Return n complex roots exp(-2 pi i k / period) for k = start, start + step, ... */
static void fill_roots(float *to, long n, double start, double step, double period) {
    for (long k = 0; k < n; k++) {
        double angle = -2 * PI * (start + k * step) / period;
        to[2 * k] = (float)cos(angle);
        to[2 * k + 1] = (float)sin(angle);
    }
}

/* Plan a line; return 0 where memory is short or a prime factor is too large. */
static int plan_line(Line *line, long length) {
    line->length = length;
    for (long left = length; left > 1;) {
        long radix = next_radix(left), i = line->passes;
        if (radix == 0 || i == MAX_PASSES) return 0;
        long groups = left / radix;
        float *twiddle = malloc(sizeof(float) * 2 * groups * (radix - 1));
        float *roots = malloc(sizeof(float) * 2 * radix);
        line->radix[i] = radix, line->twiddle[i] = twiddle, line->roots[i] = roots;
        line->passes++;
        if (!twiddle || !roots) return 0;
        for (long p = 0; p < groups; p++)
            fill_roots(twiddle + 2 * p * (radix - 1), radix - 1, p, p, left);
        fill_roots(roots, radix, 0, 1, radix);
        left = groups;
    }
    return 1;
}

static void free_line(Line *line) {
    for (int i = 0; i < line->passes; i++) {
        free(line->twiddle[i]);
        free(line->roots[i]);
    }
}

/* Plan the grids and find the averaging matrices, which follow each other by level, that of the
   rows first. */
static int plan_grids(Plan *plan, const int64_t *extents, const float *averages) {
    for (int level = 0; level < plan->levels; level++) {
        Grid *grid = plan->grid + level;
        long rows = extents[2 * level], columns = extents[2 * level + 1];
        if (!plan_line(&grid->rows, rows) || !plan_line(&grid->columns, columns)) return 0;
        plan->average_rows[level] = averages;
        averages += plan->out_height * rows;
        plan->average_columns[level] = averages;
        averages += plan->out_width * columns;
    }
    return 1;
}

static void free_grids(Plan *plan) {
    for (int level = 0; level < plan->levels; level++) {
        free_line(&plan->grid[level].rows);
        free_line(&plan->grid[level].columns);
    }
}

/* --- many signals -------------------------------------------------------------------------- */

static void *aligned(size_t bytes) {
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* Scatter some signals, at most as many as there are lanes; those left free repeat the last. */
static void scatter_some(const Plan *plan, Scatter scatter, long lanes, const float *x, float *out,
                         long n, void *space, void *scratch) {
    const float *signals[WIDE];
    float *outs[WIDE];
    long step = plan->height * plan->width;
    long out_step = plan->n_paths * plan->out_height * plan->out_width;
    for (long lane = 0; lane < lanes; lane++) {
        signals[lane] = x + (lane < n ? lane : n - 1) * step;
        outs[lane] = lane < n ? out + lane * out_step : NULL;
    }
    scatter(plan, signals, space, scratch, outs);
}

/* Scatter n signals: 16 at a time, the last few 4 at a time, or one by one. */
static int scatter_all(const Plan *plan, const float *x, float *out, long n) {
    Kernels kernels = best_kernels();
    long rows = plan->grid[0].rows.length, columns = plan->grid[0].columns.length;
    long longest = rows > columns ? rows : columns;
    size_t value = 2 * sizeof(float) * (n > NARROW ? WIDE : NARROW);
    void *space = aligned(value * 4 * rows * columns), *scratch = aligned(value * 2 * longest);
    int ready = space && scratch;
    for (long done = 0, lanes; ready && done < n; done += lanes) {
        long left = n - done;
        const float *signals = x + done * plan->height * plan->width;
        float *outs = out + done * plan->n_paths * plan->out_height * plan->out_width;
        lanes = left > NARROW ? WIDE : left == NARROW ? NARROW : 1;
        if (lanes == 1)
            kernels.one(plan, signals, space, scratch, outs);
        else
            scatter_some(plan, lanes == WIDE ? kernels.wide : kernels.narrow, lanes, signals, outs,
                         left < lanes ? left : lanes, space, scratch);
    }
    free(space);
    free(scratch);
    return ready;
}

enum { SIGNALS, OUT, EXTENTS, ROW_SOURCE, COLUMN_SOURCE, AVERAGES, PATHS, FILTERS, N_BUFFERS };

/* scatter(n, height, width, out_height, out_width, signals, out, extents, row_source,
           column_source, averages, paths, filters): fill out. */
static PyObject *scatter(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer b[N_BUFFERS];
    Plan plan;
    long n;
    memset(&plan, 0, sizeof(plan));
    if (!PyArg_ParseTuple(args, "llllly*w*y*y*y*y*y*y*", &n, &plan.height, &plan.width,
                          &plan.out_height, &plan.out_width, &b[SIGNALS], &b[OUT], &b[EXTENTS],
                          &b[ROW_SOURCE], &b[COLUMN_SOURCE], &b[AVERAGES], &b[PATHS], &b[FILTERS]))
        return NULL;
    plan.levels = (int)(b[EXTENTS].len / (2 * sizeof(int64_t)));
    plan.row_source = b[ROW_SOURCE].buf;
    plan.column_source = b[COLUMN_SOURCE].buf;
    plan.path = b[PATHS].buf;
    plan.n_paths = (long)(b[PATHS].len / sizeof(Path));
    plan.filters = b[FILTERS].buf;
    int planned = 0, done = 0;
    if (plan.levels <= MAX_LEVELS) {
        Py_BEGIN_ALLOW_THREADS;
        planned = plan_grids(&plan, b[EXTENTS].buf, b[AVERAGES].buf);
        if (planned) done = scatter_all(&plan, b[SIGNALS].buf, b[OUT].buf, n);
        free_grids(&plan);
        Py_END_ALLOW_THREADS;
    }
    for (int i = 0; i < N_BUFFERS; i++) PyBuffer_Release(&b[i]);
    if (!planned) return PyErr_Format(PyExc_ValueError, "These extents cannot be transformed.");
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"scatter", scatter, METH_VARARGS, "Fill an array with the scattering of many signals."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_lanes", "The compiled kernel of scattering.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__lanes(void) { return PyModule_Create(&module); }
