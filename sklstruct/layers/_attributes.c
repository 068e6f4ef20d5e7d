/* Convolution over space and attributes, forward and backward.

   Over space every map is filtered alone, by all filters:
       z_q = mean over the oldest attribute of rho(h_q * x + b_q)
   Along attributes there is a product with few weights at very many places:
       y[to, k] = sum over links (to, from, tap) and factors q of g[tap, q, k] z[from, q]
   where a link says which position of the attributes a tap sees.  Links stand for any number of
   attributes, any stride, and both kinds of boundary.

   z is many times larger than x.  It is computed for a few places at a time, and multiplied while
   it is in the cache; the gradient computes it again.  Arrays lie map by map, (n, maps, places).
   The work is in _attributes.h, which is compiled once for each instruction set. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "instructions.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define MOST_TAPS 32 /* of a spatial filter */
#define MOST_FACTORS 128
#define MOST_TILES 2   /* that a gradient of the weights sums up before it is stored */
#define MOST_GROUPS 16 /* of samples that have sums of their own */

typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

typedef struct {
    int64_t to, from, tap;
} Link;

/* Links sorted by what each group of them has in common. */
typedef struct {
    long groups;
    const int64_t *start;
    const Link *link;
} Links;

typedef struct {
    long n, oldest, maps, plane, taps, places, factors, outs, filters, rectify;
    const int64_t *where,
        *offset; /* of places in a plane with its padding, and of taps from there */
    Links by_output, by_input, by_tap; /* those by input go the other way */
    const float *x, *spatial, *shift;
    const float *weights, *turned; /* along attributes, sorted for products; turned for gradients */
    float *y, *x_gradient;
} Plan;

/* Return how many, of at most so many, are done at a time. */
static inline long share(long n, long most) {
    long times = (n + most - 1) / most;
    return (n + times - 1) / times;
}

#if defined(__x86_64__)
#define SUFFIX _avx512_
#define ATTRIBUTE AVX512
#define LANES 16
#include "_attributes.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#define SUFFIX _avx2_
#define ATTRIBUTE AVX2
#define LANES 8
#include "_attributes.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#endif
#define SUFFIX _plain_
#define ATTRIBUTE
#define LANES 4
#include "_attributes.h"

typedef struct {
    long lanes, filters; /* filters that are multiplied side by side */
    void (*convolve)(const Plan *, float *, long);
    void (*differentiate)(const Plan *, float *, long, long, float *);
    void (*moments)(const Plan *, float *, long, long, double *);
    void (*refilter)(const Plan *, long, long);
} Kernel;

#define KERNEL(name, lanes, filters)                                                               \
    {lanes,                                                                                        \
     filters,                                                                                      \
     convolve_##name##_##lanes,                                                                    \
     differentiate_##name##_##lanes,                                                               \
     moments_##name##_##lanes,                                                                     \
     refilter_##name##_##lanes}

/* By the number of the set. */
static const Kernel kernels[] = {
#if defined(__x86_64__)
    KERNEL(avx512, 16, 8),
    KERNEL(avx2, 8, 4),
#endif
    KERNEL(plain, 4, 4),
};

/* --- threads ------------------------------------------------------------------------------- */

enum { CONVOLVE, DIFFERENTIATE, MOMENTS, REFILTER };

typedef struct {
    int kind;
    const Plan *plan;
    const Kernel *kernel;
    size_t memory, size; /* floats that a thread needs; values of the sums of a group */
    long tasks, next;
    void *sums; /* of all groups */
    int failed;
} Work;

static void do_task(const Work *work, float *memory, long task) {
    const Kernel *kernel = work->kernel;
    long start = task * work->plan->n / work->tasks,
         stop = (task + 1) * work->plan->n / work->tasks;
    if (work->kind == CONVOLVE)
        kernel->convolve(work->plan, memory, task);
    else if (work->kind == DIFFERENTIATE)
        kernel->differentiate(work->plan, memory, start, stop,
                              (float *)work->sums + task * work->size);
    else if (work->kind == MOMENTS)
        kernel->moments(work->plan, memory, start, stop, (double *)work->sums + task * work->size);
    else
        kernel->refilter(work->plan, start, stop);
}

/* What each thread does: task after task, until there is none. */
static void do_tasks(void *data) {
    Work *work = data;
    float *memory = aligned(sizeof(float) * (work->memory + 1));
    if (!memory) __atomic_store_n(&work->failed, 1, __ATOMIC_RELAXED);
    while (memory) {
        long task = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
        if (task >= work->tasks) break;
        do_task(work, memory, task);
    }
    free(memory);
}

static int do_all(Work *work, long threads) {
    in_threads(do_tasks, work, threads < work->tasks ? threads : work->tasks);
    return !work->failed;
}

static long groups(const Plan *plan) { return plan->n < MOST_GROUPS ? plan->n : MOST_GROUPS; }

/* --- what is computed ---------------------------------------------------------------------- */

/* Return weights [tap][row][column] as products read them, with the last two turned if wanted. */
static float *sort_weights(const float *from, long taps, long rows, long columns, long most,
                           int turn) {
    float *sorted = aligned(sizeof(float) * taps * rows * columns), *to = sorted;
    long row_step = turn ? 1 : columns, column_step = turn ? rows : 1, few = share(columns, most);
    for (long k = 0; sorted && k < columns; k += few)
        for (long tap = 0; tap < taps; tap++)
            for (long row = 0; row < rows; row++)
                for (long j = k; j < k + few && j < columns; j++)
                    *to++ = from[tap * rows * columns + row * row_step + j * column_step];
    return sorted;
}

static int run_convolve(Plan *plan, const Kernel *kernel, long threads) {
    long width = 2 * kernel->lanes, taps = plan->by_tap.groups;
    float *sorted =
        sort_weights(plan->weights, taps, plan->factors, plan->filters, kernel->filters, 0);
    if (!sorted) return 0;
    plan->weights = sorted;
    Work work = {.kind = CONVOLVE, .plan = plan, .kernel = kernel};
    work.memory = ((size_t)plan->maps * plan->factors + (size_t)plan->outs * plan->filters) * width;
    work.tasks = (plan->n * plan->places + width - 1) / width;
    int done = do_all(&work, threads);
    free(sorted);
    return done;
}

/* Add to the gradient of x, if wanted, and fill those of spatial filters and shifts, [factor][taps
   and shift], and of the weights. */
static int run_differentiate(Plan *plan, const Kernel *kernel, long threads, float *spatial,
                             float *weights) {
    long width = 2 * kernel->lanes, taps = plan->by_tap.groups;
    size_t first = (size_t)plan->factors * (plan->taps + 1),
           rest = (size_t)taps * plan->factors * plan->filters;
    Work work = {.kind = DIFFERENTIATE, .plan = plan, .kernel = kernel, .tasks = groups(plan)};
    size_t z = (size_t)plan->maps * plan->factors, y = (size_t)plan->outs * plan->filters;
    work.memory = ((1 + MOST_TILES) * z + MOST_TILES * y) * width;
    work.size = (first * kernel->lanes + rest + kernel->lanes - 1) / kernel->lanes * kernel->lanes;
    size_t bytes = sizeof(float) * work.tasks * work.size;
    float *sorted =
        sort_weights(plan->weights, taps, plan->filters, plan->factors, kernel->filters, 1);
    float *sums = work.sums = aligned(bytes);
    int done = sorted && sums;
    if (done) {
        memset(sums, 0, bytes);
        plan->turned = sorted;
        done = do_all(&work, threads);
    }
    memset(spatial, 0, sizeof(float) * first);
    memset(weights, 0, sizeof(float) * rest);
    for (long group = 0; done && group < work.tasks; group++, sums += work.size) {
        for (size_t i = 0; i < first * kernel->lanes; i++) spatial[i / kernel->lanes] += sums[i];
        for (size_t i = 0; i < rest; i++) weights[i] += sums[first * kernel->lanes + i];
    }
    free(sorted);
    free(work.sums);
    return done;
}

/* Fill sums, and sums of products: of each tap its own, then those with the taps up to it. */
static int run_moments(Plan *plan, const Kernel *kernel, long threads, double *total) {
    Work work = {.kind = MOMENTS, .plan = plan, .kernel = kernel, .tasks = groups(plan)};
    work.size = plan->taps + plan->taps * (plan->taps + 1) / 2;
    work.memory = work.size * kernel->lanes;
    double *sums = work.sums = calloc(work.tasks * work.size, sizeof(double));
    int done = sums && do_all(&work, threads);
    memset(total, 0, sizeof(double) * work.size);
    for (size_t i = 0; done && i < work.tasks * work.size; i++) total[i % work.size] += sums[i];
    free(sums);
    return done;
}

static int run_refilter(Plan *plan, const Kernel *kernel, long threads) {
    Work work = {.kind = REFILTER, .plan = plan, .kernel = kernel, .tasks = groups(plan)};
    return do_all(&work, threads);
}

/* --- Python -------------------------------------------------------------------------------- */

enum {
    LAYOUT,
    WHERE,
    OFFSET,
    LINKS,
    X,
    SPATIAL,
    WEIGHTS,
    Y,
    X_GRADIENT,
    SPATIAL_GRADIENT,
    WEIGHTS_GRADIENT,
    N_BUFFERS
};

static int fits(const Py_buffer *buffer, long n, size_t size) {
    return buffer->obj && n >= 0 && (size_t)buffer->len == n * size;
}

/* Read where the links of each group start, and the links; return what follows, or NULL. */
static const int64_t *read_links(Links *links, const int64_t *from, long groups, long n, long to,
                                 long seen, long taps) {
    *links = (Links){groups, from, (const Link *)(from + groups + 1)};
    if (from[0] != 0 || from[groups] != n) return NULL;
    for (long i = 0; i < groups; i++)
        if (from[i] > from[i + 1]) return NULL;
    for (const Link *link = links->link; link < links->link + n; link++)
        if (link->to < 0 || link->to >= to || link->from < 0 || link->from >= seen ||
            link->tap < 0 || link->tap >= taps)
            return NULL;
    return from + groups + 1 + 3 * n;
}

/* Read n, values of the oldest attribute, maps of each, values of a plane, factors, whether these
   are rectified, positions of the output, filters, taps along attributes, and links. */
static int make_plan(Plan *plan, const Py_buffer *b) {
    if (!fits(b + LAYOUT, 10, sizeof(int64_t)) || !b[WHERE].obj || !b[OFFSET].obj) return 0;
    const int64_t *l = b[LAYOUT].buf, *where = b[WHERE].buf, *offset = b[OFFSET].buf,
                  *next = b[LINKS].buf;
    long places = b[WHERE].len / sizeof(int64_t), taps = b[OFFSET].len / sizeof(int64_t);
    long last = 0, far = 0, n = l[9];
    for (int i = 0; i < 9; i++)
        if (l[i] < (i != 5)) return 0;
    *plan = (Plan){l[0], l[1], l[2], l[3], taps, places, l[4], l[6], l[7], l[5], where, offset};
    if (taps < 1 || taps > MOST_TAPS || places < 1 || l[4] > MOST_FACTORS || n < 0) return 0;
    for (long i = 0; i < places; i++) {
        if (where[i] < 0) return 0;
        if (where[i] > last) last = where[i];
    }
    for (long i = 0; i < taps; i++) {
        if (offset[i] < 0) return 0;
        if (offset[i] > far) far = offset[i];
    }
    if (last + far >= plan->plane) return 0;
    if (!next) return 1;
    if (!fits(b + LINKS, l[6] + l[2] + l[8] + 3 + 9 * n, sizeof(int64_t))) return 0;
    next = read_links(&plan->by_output, next, l[6], n, l[6], l[2], l[8]);
    next = next ? read_links(&plan->by_input, next, l[2], n, l[2], l[6], l[8]) : NULL;
    return next && read_links(&plan->by_tap, next, l[8], n, l[6], l[2], l[8]);
}

/* Return whether the arrays are as long as the plan says: one wrong would end the process. */
static int consistent(const Plan *plan, const Py_buffer *b, int kind) {
    long x = plan->n * plan->oldest * plan->maps * plan->plane;
    long spatial = plan->factors * (plan->taps + 1), pairs = plan->taps * (plan->taps + 1) / 2;
    long weights = plan->by_tap.groups * plan->factors * plan->filters;
    long y = plan->n * plan->outs * plan->filters * plan->places;
    size_t size = sizeof(float);
    if (!fits(b + X, x, size)) return 0;
    if (kind == MOMENTS) return fits(b + Y, plan->taps + pairs, sizeof(double));
    if (!fits(b + SPATIAL, spatial, size)) return 0;
    if (kind == REFILTER) return plan->factors == plan->taps && fits(b + X_GRADIENT, x, size);
    if (!b[LINKS].obj || !fits(b + WEIGHTS, weights, size) || !fits(b + Y, y, size)) return 0;
    return kind == CONVOLVE ||
           ((!b[X_GRADIENT].obj || fits(b + X_GRADIENT, x, size)) &&
            fits(b + SPATIAL_GRADIENT, spatial, size) && fits(b + WEIGHTS_GRADIENT, weights, size));
}

/* run(kernel, threads, kind, layout, where, offset, links, x, spatial filters and shifts, weights,
   y, x_gradient, spatial_gradient, weights_gradient), where what is not needed is None. convolve
   (0) fills y; differentiate (1) adds to the first gradient, which may be None, and fills the other
   two; moments (2) fills y; refilter (3) adds to the gradient of x. */
static PyObject *run(PyObject *self, PyObject *args) {
    (void)self;
    const char *name;
    long threads;
    int kind, found = 1, done = 0, valid = 0;
    PyObject *given[N_BUFFERS] = {NULL};
    Py_buffer b[N_BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "sliOOOOOOOOOOO", &name, &threads, &kind, given, given + 1,
                          given + 2, given + 3, given + 4, given + 5, given + 6, given + 7,
                          given + 8, given + 9, given + 10))
        return NULL;
    for (int i = 0; found && i < N_BUFFERS; i++)
        if (given[i] != Py_None) {
            int written = i > Y || (i == Y && kind != DIFFERENTIATE);
            found =
                PyObject_GetBuffer(given[i], b + i, written ? PyBUF_CONTIG : PyBUF_CONTIG_RO) == 0;
        }
    int set = find_set(name);
    Plan plan;
    valid = found && set >= 0 && kind >= CONVOLVE && kind <= REFILTER && make_plan(&plan, b) &&
            consistent(&plan, b, kind);
    if (valid) {
        const Kernel *kernel = kernels + set;
        float *spatial = b[SPATIAL_GRADIENT].buf, *weights = b[WEIGHTS_GRADIENT].buf;
        plan.x = b[X].buf, plan.y = b[Y].buf, plan.x_gradient = b[X_GRADIENT].buf;
        plan.spatial = b[SPATIAL].buf, plan.weights = b[WEIGHTS].buf;
        if (plan.spatial) plan.shift = plan.spatial + plan.factors * plan.taps;
        Py_BEGIN_ALLOW_THREADS;
        done = kind == CONVOLVE        ? run_convolve(&plan, kernel, threads)
               : kind == DIFFERENTIATE ? run_differentiate(&plan, kernel, threads, spatial, weights)
               : kind == MOMENTS       ? run_moments(&plan, kernel, threads, b[Y].buf)
                                       : run_refilter(&plan, kernel, threads);
        Py_END_ALLOW_THREADS;
    }
    for (int i = 0; i < N_BUFFERS; i++)
        if (b[i].obj) PyBuffer_Release(b + i);
    if (!found) return NULL;
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "There is no such kernel, or arrays do not fit.");
        return NULL;
    }
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "Fill arrays with attribute convolutions, or with their gradients."},
    {"available", available, METH_NOARGS, "Name the kernels that this processor can run."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    "_attributes",
    "The compiled kernel of attribute convolutions.",
    -1,
    methods,
    NULL,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__attributes(void) { return PyModule_Create(&module); }
