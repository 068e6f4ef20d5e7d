/* Scattering of many signals at a time, in the lanes of vectors: the Python side of it.

   The transform itself is in _lanes.h, which is compiled once for each instruction set; the
   best one that the processor has is taken at run time. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "instructions.h"

#define WIDEST 16 /* lanes */
#define NARROW 4
#define TOGETHER 4 /* rows of averages of a large signal */
#define BLOCK 32 /* terms of a partial sum */
#define USUAL 40 /* powers of 2 to each side of 1 between which signals are left as they are */
#define MAX_RADIX 31
#define MAX_PASSES 32
#define MAX_LEVELS 32
#define MAX_ORDER 3
#if defined(__x86_64__)
#define IN_REGISTERS(x) __asm__("" : "+v"(x))
#else
#define IN_REGISTERS(x) (void)0
#endif
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
   wavelet, a spectrum on the grid of its parent; for large signals without what is negligible,
   and `terms` says what is left. */
typedef struct {
    int64_t level, first_child, children, psi, terms;
} Path;

/* An average along a cyclic axis: `reach` weights, the first of them at `offset` for the first
   place that is kept and `step` further for each place after it. */
typedef struct {
    int64_t extent, offset, step, reach;
    const float *weight;
} Average;

static inline long first_place(const Average *average, long number) {
    return (average->offset + number * average->step) % average->extent;
}

/* The same averages, `together` of them at a time: from the first place of the first of them on,
   `reach` samples have a weight each in every one. */
typedef struct {
    long reach;
    float *weight;
} Bands;

typedef struct {
    int levels;
    Grid grid[MAX_LEVELS];
    Average down[MAX_LEVELS], across[MAX_LEVELS];
    long out_height, out_width, height, width, n_paths;
    const int64_t *row_source, *column_source;
    const Path *path;
    const float *filters;
    const int32_t *terms;                                  /* these for large signals, */
    Bands bands_down[MAX_LEVELS], bands_across[MAX_LEVELS]; /* and these */
} Plan;

/* The kernel for each set of instructions: as many lanes as one of its registers has, and four
   for the last few signals.  More lanes than registers hold make every step ten times slower. */
#if defined(__x86_64__)
#define SUFFIX _avx512_
#define ATTRIBUTE AVX512
#define LANES 16
#include "_lanes.h"
#include "_planes.h"
#undef LANES
#define LANES 4
#include "_lanes.h"
#undef LANES
#undef SUFFIX
#undef ATTRIBUTE
#define SUFFIX _avx2_
#define ATTRIBUTE AVX2
#define LANES 8
#include "_lanes.h"
#include "_planes.h"
#undef LANES
#define LANES 4
#include "_lanes.h"
#undef LANES
#undef SUFFIX
#undef ATTRIBUTE
#endif
#define SUFFIX _plain_
#define ATTRIBUTE
#define LANES 4
#include "_lanes.h"
#include "_planes.h"
#undef LANES

typedef void (*Scatter)(const Plan *, const float *const *, void *, void *, float *const *);
typedef void (*ScatterOne)(const Plan *, const float *, void *, void *, float *);
typedef void (*ScatterPlane)(const Plan *, long, long, const float *, void *, void *, float *);
typedef struct {
    long lanes;
    Scatter wide, narrow;
    ScatterOne one;
    ScatterPlane plane;
} Kernel;

/* By the number of the set. */
static const Kernel kernels[] = {
#if defined(__x86_64__)
    {16, scatter_avx512_16, scatter_avx512_4, scatter_one_avx512_4, scatter_plane_avx512_16},
    {8, scatter_avx2_8, scatter_avx2_4, scatter_one_avx2_4, scatter_plane_avx2_8},
#endif
    {4, scatter_plain_4, scatter_plain_4, scatter_one_plain_4, scatter_plane_plain_4},
};

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

/* Plan a line; return 0 where memory is short (prime factors were judged before). */
static int plan_line(Line *line, long length) {
    line->length = length;
    for (long left = length; left > 1;) {
        long radix = next_radix(left), i = line->passes;
        if (radix == 0 || i == MAX_PASSES) return 0;
        long groups = left / radix;
        float *twiddle = malloc(sizeof(float) * 2 * groups * (radix - 1));
        long half = radix / 2;
        float *roots = malloc(sizeof(float) * 2 * (half + 1) * half);
        line->radix[i] = radix, line->twiddle[i] = twiddle, line->roots[i] = roots;
        line->passes++;
        if (!twiddle || !roots) return 0;
        for (long p = 0; p < groups; p++)
            fill_roots(twiddle + 2 * p * (radix - 1), radix - 1, p, p, left);
        for (long k = 1; k <= half; k += 2) /* two outputs side by side, a root each */
            for (long n = 1; n <= half; n++, roots += 4)
                fill_roots(roots, 2, n * k, n, radix);
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

/* Rows of the table of averages: by level, down and then across. */
enum { EXTENT, OFFSET, STEP, REACH, WEIGHTS, N_FIELDS };

static void plan_average(Average *average, const int64_t *row, const float *weights) {
    average->extent = row[EXTENT];
    average->offset = row[OFFSET];
    average->step = row[STEP];
    average->reach = row[REACH];
    average->weight = weights + row[WEIGHTS];
}

/* Plan the Fourier transforms and the averages of every level. */
static int plan_grids(Plan *plan, const int64_t *averages, const float *weights) {
    for (int level = 0; level < plan->levels; level++, averages += 2 * N_FIELDS) {
        Grid *grid = plan->grid + level;
        plan_average(plan->down + level, averages, weights);
        plan_average(plan->across + level, averages + N_FIELDS, weights);
        if (!plan_line(&grid->rows, plan->down[level].extent)) return 0;
        if (!plan_line(&grid->columns, plan->across[level].extent)) return 0;
    }
    return 1;
}

/* Plan n averages, `together` of them at a time; those too many have no weight. */
static int plan_bands(Bands *bands, const Average *average, long n, long together) {
    long reach = average->reach + (together - 1) * average->step;
    bands->reach = reach < average->extent ? reach : average->extent;
    long groups = (n + together - 1) / together, size = bands->reach * together;
    bands->weight = calloc(groups * size, sizeof(float));
    if (!bands->weight) return 0;
    for (long k = 0; k < n; k++)
        for (long i = 0; i < average->reach; i++) {
            long place = (k % together * average->step + i) % average->extent;
            bands->weight[k / together * size + place * together + k % together] +=
                average->weight[i];
        }
    return 1;
}

/* Plan the averages of large signals. */
static int plan_averages(Plan *plan, long lanes) {
    for (int level = 0; level < plan->levels; level++)
        if (!plan_bands(plan->bands_down + level, plan->down + level, plan->out_height, TOGETHER) ||
            !plan_bands(plan->bands_across + level, plan->across + level, plan->out_width, lanes))
            return 0;
    return 1;
}

static void free_grids(Plan *plan) {
    for (int level = 0; level < plan->levels; level++) {
        free(plan->bands_down[level].weight);
        free(plan->bands_across[level].weight);
        free_line(&plan->grid[level].rows);
        free_line(&plan->grid[level].columns);
    }
}

/* --- many signals -------------------------------------------------------------------------- */

/* Scatter some signals, at most as many as there are lanes; those left free repeat the last. */
static void scatter_some(const Plan *plan, Scatter scatter, long lanes, const float *x, float *out,
                         long n, void *space, void *scratch) {
    const float *signals[WIDEST];
    float *outs[WIDEST];
    size_t step = (size_t)plan->height * plan->width;
    size_t out_step = (size_t)plan->n_paths * plan->out_height * plan->out_width;
    for (long lane = 0; lane < lanes; lane++) {
        signals[lane] = x + (lane < n ? lane : n - 1) * step;
        outs[lane] = lane < n ? out + lane * out_step : NULL;
    }
    scatter(plan, signals, space, scratch, outs);
}

/* Scatter some signals: by the lanes there are, the last few 4 at a time, or one by one. */
static int scatter_all(const Plan *plan, const Kernel *kernel, const float *x, float *out,
                       long begin, long end) {
    size_t rows = plan->grid[0].rows.length, columns = plan->grid[0].columns.length;
    size_t longest = rows > columns ? rows : columns;
    size_t value = 2 * sizeof(float) * (end - begin > NARROW ? kernel->lanes : NARROW);
    void *space = aligned(value * 4 * rows * columns), *scratch = aligned(value * 2 * longest);
    int ready = space && scratch;
    for (long done = begin, lanes; ready && done < end; done += lanes) {
        long left = end - done;
        const float *signals = x + (size_t)done * plan->height * plan->width;
        float *outs = out + (size_t)done * plan->n_paths * plan->out_height * plan->out_width;
        lanes = left > NARROW ? kernel->lanes : left == NARROW ? NARROW : 1;
        if (lanes == 1)
            kernel->one(plan, signals, space, scratch, outs);
        else
            scatter_some(plan, lanes == NARROW ? kernel->narrow : kernel->wide, lanes, signals,
                         outs, left < lanes ? left : lanes, space, scratch);
    }
    free(space);
    free(scratch);
    return ready;
}

/* Return how many parts the work of a large signal has: one for each path of first order. */
static long parts_of(const Plan *plan) {
    return plan->path->children > 0 ? plan->path->children : 1;
}

/* Do some parts of the work of large signals, counted from one signal to the next. */
static int scatter_planes(const Plan *plan, const Kernel *kernel, const float *x, float *out,
                          long begin, long end) {
    size_t rows = plan->grid[0].rows.length, columns = plan->grid[0].columns.length;
    size_t longest = rows > columns ? rows : columns, lanes = kernel->lanes;
    size_t value = 2 * sizeof(float) * lanes; /* of a vector of complex numbers */
    size_t plane = (longest * ((longest + WIDEST - 1) / WIDEST) + 1) * (WIDEST / lanes);
    void *space = aligned(value * plane * 2 * (MAX_ORDER + 1));
    void *scratch = aligned(value * 2 * longest);
    int ready = space && scratch;
    for (long parts = parts_of(plan), stop; ready && begin < end; begin = stop) {
        long number = begin / parts, start = number * parts;
        stop = start + parts < end ? start + parts : end;
        kernel->plane(plan, begin - start, stop - start,
                      x + (size_t)number * plan->height * plan->width, space, scratch,
                      out + (size_t)number * plan->n_paths * plan->out_height * plan->out_width);
    }
    free(space);
    free(scratch);
    return ready;
}

/* --- Python -------------------------------------------------------------------------------- */

enum { SIGNALS, OUT, ROW_SOURCE, COLUMN_SOURCE, AVERAGES, WEIGHT, PATHS, FILTERS, TERMS, N_BUFFERS };

/* Return whether the arrays are as long as the extents say: one wrong would end the process. */
static int consistent(const Plan *plan, const Py_buffer *b, int large, long begin, long end) {
    const int64_t *first = b[AVERAGES].buf;
    size_t signal = sizeof(float) * plan->height * plan->width;
    size_t row = sizeof(float) * plan->n_paths * plan->out_height * plan->out_width;
    if (plan->levels <= 0 || plan->levels > MAX_LEVELS || signal == 0 || row == 0) return 0;
    size_t n = b[SIGNALS].len / signal;
    return begin >= 0 && begin <= end && (size_t)end <= n * (large ? parts_of(plan) : 1) &&
           (size_t)b[SIGNALS].len == n * signal && (size_t)b[OUT].len == n * row &&
           (size_t)b[ROW_SOURCE].len == first[EXTENT] * sizeof(int64_t) &&
           (size_t)b[COLUMN_SOURCE].len == first[N_FIELDS + EXTENT] * sizeof(int64_t);
}

/* scatter(kernel, large, begin, end, height, width, out_height, out_width, signals, out,
           row_source, column_source, averages, weights, paths, filters, terms): fill out for some
   of the signals, or, of large ones, for some parts of their work. */
static PyObject *scatter(PyObject *self, PyObject *args) {
    (void)self;
    const char *name;
    Py_buffer b[N_BUFFERS];
    Plan plan;
    int large;
    long begin, end;
    memset(&plan, 0, sizeof(plan));
    if (!PyArg_ParseTuple(args, "spllllll" "y*w*y*y*y*y*y*y*y*", &name, &large, &begin, &end,
                          &plan.height, &plan.width, &plan.out_height, &plan.out_width,
                          &b[SIGNALS], &b[OUT], &b[ROW_SOURCE], &b[COLUMN_SOURCE], &b[AVERAGES],
                          &b[WEIGHT], &b[PATHS], &b[FILTERS], &b[TERMS]))
        return NULL;
    int set = find_set(name);
    const Kernel *kernel = set < 0 ? NULL : kernels + set;
    plan.levels = (int)(b[AVERAGES].len / (2 * N_FIELDS * sizeof(int64_t)));
    plan.row_source = b[ROW_SOURCE].buf;
    plan.column_source = b[COLUMN_SOURCE].buf;
    plan.path = b[PATHS].buf;
    plan.n_paths = (long)(b[PATHS].len / sizeof(Path));
    plan.filters = b[FILTERS].buf;
    plan.terms = b[TERMS].buf;
    int valid = kernel && consistent(&plan, b, large, begin, end), done = 0;
    if (valid) {
        Py_BEGIN_ALLOW_THREADS;
        int planned = plan_grids(&plan, b[AVERAGES].buf, b[WEIGHT].buf);
        if (planned && !large)
            done = scatter_all(&plan, kernel, b[SIGNALS].buf, b[OUT].buf, begin, end);
        else if (planned && plan_averages(&plan, kernel->lanes))
            done = scatter_planes(&plan, kernel, b[SIGNALS].buf, b[OUT].buf, begin, end);
        free_grids(&plan);
        Py_END_ALLOW_THREADS;
    }
    for (int i = 0; i < N_BUFFERS; i++) PyBuffer_Release(&b[i]);
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "There is no such kernel, or arrays do not fit.");
        return NULL;
    }
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"scatter", scatter, METH_VARARGS, "Fill an array with the scattering of many signals."},
    {"available", available, METH_NOARGS, "Name the kernels that this processor can run."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_lanes", "The compiled kernel of scattering.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__lanes(void) { return PyModule_Create(&module); }
