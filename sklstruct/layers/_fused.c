/* Convolution with kernels that are mixed from separable atoms, forward and backward.

       y_o = sum over leaves k and channels c of mixing[k, c, o] (psi_k * x_c)

   The responses psi_k * x_c are many times larger than x.  They are computed for a few rows at a
   time, axis by axis, and mixed while they are in the cache; the gradient computes them again.
   Between the two they may be steered: sums of them, with coefficients of a table that differ
   from place to place, are mixed in their stead.
   Arrays lie place by place with the channels side by side.  The work of a row is in _fused.h,
   which is compiled once for each instruction set. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "instructions.h"

#define AXES 3
#define MOST_TAPS 128
#define MOST_OUT (1L << 20) /* places of matrices */
#define MOST_SUMS 4   /* outputs of sums that are computed side by side */
#define MOST_ROWS 12  /* of a tile of a product */
#define MOST_NUMBERS 64 /* of the table, at a place */
#define MOST_ENTRIES 256 /* of a mixture */
#define MOST_GROUPS 16 /* of samples that have a gradient of the mixing of their own */
#define PLACES 96      /* that a block of rows should have, */
#define BLOCK_VALUES (1L << 17) /* and values of its responses that it may have */

typedef float Quad __attribute__((vector_size(16), aligned(4), may_alias));

/* An axis: extents, and the profiles of its nodes, each with a parent on the axis before.  A node
   has one profile for all places, or, where `place_step` is not 0, a matrix with one for each. */
typedef struct {
    long in, out, taps, stride, before, nodes, node_step, place_step;
    const int64_t *parent;
    const float *profile;
} Axis;

typedef struct {
    Axis axis[AXES];
    long n, channels, outs, outs_padded, mixed_padded;
    long row, sample; /* values of a row and of a sample */
    long seen, phases, phase; /* places of a row that count; of each phase between zeros */
    long block, tasks, groups; /* rows of a block, tasks of a sample, groups of samples */
    int plane_is_x;   /* nothing is done along the first axis */
    long mixed, entries, numbers, groups_of_numbers; /* what is mixed; how it is steered */
    const int64_t *forward, *backward; /* entries sorted by their sums, and by what is summed */
    const float *weight;
    int uses_all; /* responses */
} Plan;

/* The numbers of an entry, which are there twice: sorted by sums, and, transposed, by leaves. */
enum { TO, FROM, NUMBER, WEIGHT, STEP };

/* An entry of a mixture: what is added to what, and what it is multiplied by. */
typedef struct {
    long to, from, number;
    float weight;
} Step;

/* What a call reads and writes. */
typedef struct {
    const float *x, *mixing, *table;
    float *y, *x_gradient, *table_gradient;
    float *mixed; /* responses, along with the gradient of the mixing */
} Call;

/* What a thread needs for itself. */
typedef struct {
    float *memory, *responses, *steered, *mixed, *unsteered, *leaves, *above, *weights;
    float **planes, **rows, **lines, **outs;
    const float **sources;
} Space;

/* c[i, j] = sum over k < outer, l < inner of a[i, k, l] b[k * inner + l, j] */
typedef struct {
    long rows, columns;
    const float *a; /* row i at i / period * period_step + i % period * row_step */
    long period, period_step, row_step, outer, outer_step, inner, inner_step;
    const float *b;
    long b_step;
    float *c;
    long c_step;
    int add; /* to what is there */
} Product;

/* The taps at a place of an axis that lie within it, and the weights of the first node. */
typedef struct {
    long first, taps;
    const float *weight;
} Window;

static inline Window window(const Axis *axis, long place) {
    long first = place * axis->stride - axis->before, skip = first < 0 ? -first : 0;
    long taps = (first + axis->taps > axis->in ? axis->in - first : axis->taps) - skip;
    return (Window){first + skip, taps, axis->profile + place * axis->place_step + skip};
}

/* Return the first node from this one on that has another parent. */
static inline long next_family(const Axis *axis, long node) {
    long next = node;
    while (next < axis->nodes && axis->parent[next] == axis->parent[node]) next++;
    return next;
}

/* Return where a place of a row between zeros lies: those that a stride apart follow each other. */
static inline long phase(const Plan *plan, long place) {
    long phases = plan->phases;
    return (place % phases * plan->phase + place / phases) * plan->channels;
}

/* Turn the numbers of entries into places of memory, where sums and what is summed lie apart. */
static void read_steps(const Plan *plan, const int64_t *entry, long from, long to, Step *step) {
    for (long e = 0; e < plan->entries; e++, entry += STEP)
        step[e] = (Step){entry[TO] * to, entry[FROM] * from,
                         entry[NUMBER] * plan->groups_of_numbers, plan->weight[entry[WEIGHT]]};
}

/* Make what surrounds the values of rows zeros again, after gradients have lain there. */
static void clear_rows(const Plan *plan, const Space *space) {
    const Axis *last = plan->axis + 2;
    long c = plan->channels, length = plan->phases * plan->phase * c;
    long start = plan->phases == 1 ? last->before * c : length;
    if (start > length) start = length;
    long stop = start + plan->seen * c < length ? start + plan->seen * c : length;
    for (long node = 0; node < plan->axis[1].nodes; node++) {
        memset(space->rows[node], 0, sizeof(float) * start);
        memset(space->rows[node] + stop, 0, sizeof(float) * (length - stop));
    }
}

#if defined(__x86_64__)
#define SUFFIX _avx512_
#define ATTRIBUTE AVX512
#define LANES 16
#include "_fused.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#define SUFFIX _avx2_
#define ATTRIBUTE AVX2
#define LANES 8
#include "_fused.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#endif
#define SUFFIX _plain_
#define ATTRIBUTE
#define LANES 4
#include "_fused.h"

typedef struct {
    long lanes;
    void (*convolve)(const Plan *, const Call *, const Space *, long);
    void (*differentiate)(const Plan *, const Call *, const Space *, long, float *);
} Kernel;

/* By the number of the set. */
static const Kernel kernels[] = {
#if defined(__x86_64__)
    {16, convolve_avx512_16, differentiate_sample_avx512_16},
    {8, convolve_avx2_8, differentiate_sample_avx2_8},
#endif
    {4, convolve_plain_4, differentiate_sample_plain_4},
};

/* --- plans --------------------------------------------------------------------------------- */

enum { N, CHANNELS, OUTS, HEAD };                  /* of the layout, */
enum { ROWS, NUMBERS, BY_CHANNEL, STEPS_HEAD };    /* of the steps: then the entries, twice */
/* and then of each axis; where STRIDE is 0, nodes have matrices, and OUT is their height */
enum { IN, TAPS, STRIDE, BEFORE, OUT = BEFORE, NODES, N_FIELDS };

static long padded(long n, long lanes) { return (n + lanes - 1) / lanes * lanes; }

/* Read the layout; return whether it is one, with as many profiles and parents as it says. */
static int make_plan(Plan *plan, const Kernel *kernel, const Py_buffer *layout,
                     const Py_buffer *profiles) {
    const int64_t *head = layout->buf, *field = head + HEAD, *parent = field + AXES * N_FIELDS;
    const float *profile = profiles->buf;
    long numbers = (long)(layout->len / sizeof(int64_t)) - HEAD - AXES * N_FIELDS;
    long values = (long)(profiles->len / sizeof(float)), above = 1;
    if (numbers < 0) return 0;
    plan->n = head[N], plan->channels = head[CHANNELS], plan->outs = head[OUTS];
    if (plan->n < 1 || plan->channels < 1 || plan->outs < 1) return 0;
    for (Axis *axis = plan->axis; axis < plan->axis + AXES; axis++, field += N_FIELDS) {
        axis->in = field[IN], axis->taps = field[TAPS], axis->stride = field[STRIDE];
        axis->before = field[BEFORE], axis->nodes = field[NODES];
        if (axis->in < 1 || axis->taps < 1 || axis->taps > MOST_TAPS || axis->stride < 0 ||
            axis->before < 0 || axis->nodes < 1 || axis->in + 2 * axis->before < axis->taps)
            return 0;
        axis->node_step = axis->taps, axis->place_step = 0;
        if (axis->stride == 0) {
            axis->out = axis->before, axis->before = 0;
            if (axis->out < 1 || axis->out > MOST_OUT || axis->taps != axis->in) return 0;
            axis->node_step *= axis->out, axis->place_step = axis->taps;
        } else
            axis->out = (axis->in + 2 * axis->before - axis->taps) / axis->stride + 1;
        axis->parent = parent, axis->profile = profile;
        if (axis->nodes > values / axis->node_step) return 0;
        numbers -= axis->nodes, values -= axis->nodes * axis->node_step;
        if (numbers < 0) return 0;
        for (long i = 0; i < axis->nodes; i++)
            if (parent[i] < (i ? parent[i - 1] : 0) || parent[i] >= above) return 0;
        parent += axis->nodes, profile += axis->nodes * axis->node_step, above = axis->nodes;
    }
    const Axis *first = plan->axis, *rows = plan->axis + 1, *last = plan->axis + 2;
    plan->outs_padded = padded(plan->outs, kernel->lanes);
    plan->mixed = last->nodes;
    plan->entries = plan->numbers = plan->groups_of_numbers = 0;
    plan->mixed_padded = padded(plan->mixed * plan->channels, kernel->lanes);
    plan->row = last->in * plan->channels;
    plan->sample = first->in * rows->in * plan->row;
    plan->phases = last->stride ? last->stride : 1;
    long reach = (last->out - 1) * last->stride + last->taps;
    plan->phase = (reach + plan->phases - 1) / plan->phases;
    plan->seen = reach - last->before < last->in ? reach - last->before : last->in;
    if (plan->seen < 0) plan->seen = 0;
    long most = BLOCK_VALUES / (last->out * last->nodes * plan->channels);
    plan->block = (PLACES + last->out - 1) / last->out;
    if (plan->block > most) plan->block = most ? most : 1;
    if (plan->block > rows->out) plan->block = rows->out;
    plan->tasks = first->out > 1 ? first->out : (rows->out + plan->block - 1) / plan->block;
    plan->groups = plan->n < MOST_GROUPS ? plan->n : MOST_GROUPS;
    plan->plane_is_x = first->in == 1 && first->taps == 1 && first->stride == 1 &&
                       first->before == 0 && first->nodes == 1 && *first->profile == 1;
    return numbers == 0 && values == 0;
}

/* Return whether entries are sorted by their sums, and there are no others than there may be. */
static int valid_entries(const int64_t *entry, long entries, long sums, long sources, long numbers) {
    for (long e = 0; e < entries; e++, entry += STEP)
        if (entry[TO] < (e ? entry[TO - STEP] : 0) || entry[TO] >= sums || entry[FROM] < 0 ||
            entry[FROM] >= sources || entry[NUMBER] < 0 || entry[NUMBER] >= numbers ||
            entry[WEIGHT] < 0 || entry[WEIGHT] >= entries)
            return 0;
    return 1;
}

/* Return the number of sums that entries, sorted by them, belong to. */
static long count_sums(const int64_t *entry, long entries) {
    long count = 1;
    for (long e = 1; e < entries; e++) count += entry[e * STEP + TO] != entry[(e - 1) * STEP + TO];
    return count;
}

/* Read how responses are steered, if they are. */
static int plan_steps(Plan *plan, const Kernel *kernel, const Py_buffer *steps,
                      const Py_buffer *weights) {
    const int64_t *head = steps->buf;
    if (!steps->obj) return !weights->obj;
    if (!weights->obj) return 0;
    long entries = (long)(weights->len / sizeof(float)), leaves = plan->axis[2].nodes;
    if (entries < 1 || entries > MOST_ENTRIES ||
        steps->len != (Py_ssize_t)sizeof(int64_t) * (STEPS_HEAD + 2 * STEP * entries))
        return 0;
    long rows = head[ROWS], numbers = head[NUMBERS];
    if (rows < 1 || rows > entries || numbers < 1 || numbers > MOST_NUMBERS) return 0;
    plan->mixed = rows, plan->numbers = numbers, plan->entries = entries;
    plan->groups_of_numbers = head[BY_CHANNEL] ? plan->channels : 1;
    plan->forward = head + STEPS_HEAD, plan->backward = plan->forward + STEP * entries;
    plan->weight = weights->buf;
    plan->mixed_padded = padded(plan->mixed * plan->channels, kernel->lanes);
    if (!valid_entries(plan->forward, entries, rows, leaves, numbers) ||
        !valid_entries(plan->backward, entries, leaves, rows, numbers))
        return 0;
    plan->uses_all = count_sums(plan->backward, entries) == leaves;
    return count_sums(plan->forward, entries) == rows;
}

/* --- memory -------------------------------------------------------------------------------- */

static float *take(float **free, size_t n) {
    float *taken = *free;
    if (taken) *free += padded((long)n, ALIGNMENT / sizeof(float));
    return taken;
}

/* Share memory out, or, where there is none, return how many values are needed. */
static size_t share_out(const Plan *plan, Space *space, float *memory) {
    const Axis *first = plan->axis, *rows = plan->axis + 1, *last = plan->axis + 2;
    size_t c = plan->channels, places = plan->block * last->out, total = 0;
    size_t plane = plan->plane_is_x ? 0 : rows->in * plan->row;
    size_t apart = last->out + 2 * ((last->taps + plan->phases - 1) / plan->phases - 1);
#define TAKE(pointer, n) (total += padded((long)(n), ALIGNMENT / sizeof(float)), \
                          pointer = take(&memory, (n)))
    float *unused;
    TAKE(space->responses, last->nodes * places * c);
    TAKE(space->steered, plan->entries ? plan->mixed * places * c : 0);
    TAKE(space->mixed, places * plan->mixed_padded);
    TAKE(space->unsteered, plan->entries ? places * last->nodes * c : 0);
    TAKE(space->weights, last->nodes * last->taps);
    for (long i = 0; i < first->nodes; i++) {
        float **slot = space->planes ? space->planes + i : &unused;
        TAKE(*slot, plane);
    }
    TAKE(space->above, places * plan->outs_padded); /* from here on there are zeros between */
    TAKE(space->leaves, last->nodes * apart * c);
    for (long i = 0; i < rows->nodes; i++) {
        float **slot = space->rows ? space->rows + i : &unused;
        TAKE(*slot, plan->phases * plan->phase * c);
        if (plan->phases == 1) {
            if (space->lines) space->lines[i] = *slot + (plan->seen ? last->before * c : 0);
        } else {
            slot = space->lines ? space->lines + i : &unused;
            TAKE(*slot, plan->row);
        }
    }
#undef TAKE
    return total;
}

static void free_space(Space *space) {
    free(space->memory);
    free(space->planes);
    free(space->rows);
    free(space->lines);
    free(space->outs);
    free(space->sources);
}

/* Take what a thread needs; return whether there was enough. */
static int make_space(const Plan *plan, Space *space) {
    const Axis *first = plan->axis, *rows = plan->axis + 1, *last = plan->axis + 2;
    memset(space, 0, sizeof(*space));
    size_t bytes = sizeof(float) * share_out(plan, space, NULL);
    memset(space, 0, sizeof(*space));
    space->memory = aligned(bytes);
    space->planes = malloc(sizeof(float *) * first->nodes);
    space->rows = malloc(sizeof(float *) * rows->nodes);
    space->lines = malloc(sizeof(float *) * rows->nodes);
    space->outs = malloc(sizeof(float *) * last->nodes);
    space->sources = malloc(sizeof(float *) * last->nodes * last->taps);
    if (!space->memory || !space->planes || !space->rows || !space->lines || !space->outs ||
        !space->sources) {
        free_space(space);
        return 0;
    }
    share_out(plan, space, space->memory);
    memset(space->above, 0, bytes - sizeof(float) * (space->above - space->memory));
    return 1;
}

/* --- threads ------------------------------------------------------------------------------- */

typedef struct {
    const Plan *plan;
    const Call *call;
    const Kernel *kernel;
    float *mixing; /* gradients by group, or NULL */
    long next, stop;
    int failed, backward;
} Work;

static void differentiate_group(const Work *work, const Space *space, long group) {
    const Plan *plan = work->plan;
    size_t size = (size_t)plan->mixed * plan->channels * plan->outs_padded;
    float *mixing = work->mixing ? work->mixing + group * size : NULL;
    if (mixing) memset(mixing, 0, sizeof(float) * size);
    long stop = (group + 1) * plan->n / plan->groups;
    for (long sample = group * plan->n / plan->groups; sample < stop; sample++)
        work->kernel->differentiate(plan, work->call, space, sample, mixing);
}

/* What each thread does: task after task, until there is none. */
static void do_tasks(void *data) {
    Work *work = data;
    Space space;
    int ready = make_space(work->plan, &space);
    if (!ready) __atomic_store_n(&work->failed, 1, __ATOMIC_RELAXED);
    for (long task; ready;) {
        task = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
        if (task >= work->stop) break;
        if (work->backward)
            differentiate_group(work, &space, task);
        else
            work->kernel->convolve(work->plan, work->call, &space, task);
    }
    if (ready) free_space(&space);
}

static int do_all(Work *work, long threads) {
    in_threads(do_tasks, work, threads < work->stop ? threads : work->stop);
    return !work->failed;
}

/* --- the two calls ------------------------------------------------------------------------- */

/* Copy a matrix with rows of whole vectors. */
static float *padded_matrix(const float *from, long rows, long columns, long lanes) {
    long step = padded(columns, lanes);
    float *to = aligned(sizeof(float) * rows * step);
    for (long i = 0; to && i < rows; i++) {
        memcpy(to + i * step, from + i * columns, sizeof(float) * columns);
        memset(to + i * step + columns, 0, sizeof(float) * (step - columns));
    }
    return to;
}

static int run_convolve(const Plan *plan, const Kernel *kernel, Call *call, long threads) {
    long rows = plan->mixed * plan->channels;
    float *mixing = padded_matrix(call->mixing, rows, plan->outs, kernel->lanes);
    call->mixing = mixing;
    Work work = {plan, call, kernel, NULL, 0, plan->n * plan->tasks, 0, 0};
    int done = mixing && do_all(&work, threads);
    free(mixing);
    return done;
}

static int run_differentiate(const Plan *plan, const Kernel *kernel, Call *call, float *gradient,
                             long threads) {
    long rows = plan->mixed * plan->channels, step = plan->outs_padded;
    float *mixing = NULL, *groups = NULL;
    if (call->mixed) /* as in convolve */
        mixing = padded_matrix(call->mixing, rows, plan->outs, kernel->lanes);
    else if (call->mixing)
        mixing = padded_matrix(call->mixing, plan->outs, rows, kernel->lanes);
    if (gradient) groups = aligned(sizeof(float) * plan->groups * rows * step);
    int done = (mixing || !call->mixing) && (groups || !gradient);
    call->mixing = mixing;
    Work work = {plan, call, kernel, groups, 0, plan->groups, 0, 1};
    done = done && do_all(&work, threads);
    if (done && gradient) memset(gradient, 0, sizeof(float) * rows * plan->outs);
    for (long i = 0; done && gradient && i < plan->groups * rows; i++)
        for (long j = 0; j < plan->outs; j++)
            gradient[i % rows * plan->outs + j] += groups[i * step + j];
    free(mixing);
    free(groups);
    return done;
}

/* --- Python -------------------------------------------------------------------------------- */

enum {
    LAYOUT, PROFILES, STEPS, WEIGHTS, X, MIXING, TABLE, Y,
    X_GRADIENT, MIXING_GRADIENT, TABLE_GRADIENT, MIXED, N_BUFFERS
};

static int fits(const Py_buffer *buffer, size_t n) {
    return !buffer->obj || (size_t)buffer->len == n * sizeof(float);
}

/* Return whether the arrays are as long as the plan says: one wrong would end the process. */
static int consistent(const Plan *plan, const Py_buffer *b, int backward) {
    size_t mixing = (size_t)plan->mixed * plan->channels * plan->outs;
    size_t x = (size_t)plan->n * plan->sample, places = plan->n;
    for (int i = 0; i < AXES; i++) places *= plan->axis[i].out;
    size_t table = places * plan->numbers * plan->groups_of_numbers;
    int alone = b[MIXING_GRADIENT].obj != NULL, others = b[X_GRADIENT].obj || b[TABLE_GRADIENT].obj;
    int unread = !alone && !b[X_GRADIENT].obj && b[TABLE_GRADIENT].obj; /* the table itself */
    int needed = b[Y].obj && (plan->entries ? b[TABLE].obj || unread : !b[TABLE].obj);
    if (backward) {
        int both = b[X_GRADIENT].obj && b[TABLE_GRADIENT].obj; /* planes are there once */
        needed = needed && (!both || plan->plane_is_x) && alone != others && (plan->entries || !b[TABLE_GRADIENT].obj);
        needed = needed && (b[X].obj || (!alone && !b[TABLE_GRADIENT].obj));
        needed = needed && (b[MIXING].obj || (alone && !b[MIXED].obj)) && (alone || !b[MIXED].obj);
    } else
        needed = needed && b[X].obj && b[MIXING].obj && !alone && !others && !b[MIXED].obj;
    return needed && fits(b + X, x) && fits(b + MIXING, mixing) && fits(b + TABLE, table) &&
           fits(b + Y, places * plan->outs) && fits(b + X_GRADIENT, x) &&
           fits(b + MIXING_GRADIENT, mixing) && fits(b + TABLE_GRADIENT, table) &&
           fits(b + MIXED, places * plan->outs);
}

/* Run one of the two calls on the arrays that are given. */
static PyObject *run(PyObject *args, int backward) {
    const char *name;
    long threads;
    PyObject *given[N_BUFFERS] = {NULL};
    Py_buffer b[N_BUFFERS] = {0};
    if (!PyArg_ParseTuple(args, "slOOOOOOOO|OOOO", &name, &threads, given + LAYOUT,
                          given + PROFILES, given + STEPS, given + WEIGHTS, given + X,
                          given + MIXING, given + TABLE, given + Y, given + X_GRADIENT,
                          given + MIXING_GRADIENT, given + TABLE_GRADIENT, given + MIXED))
        return NULL;
    int found = 1, done = 0, valid = 0;
    for (int i = 0; found && i < N_BUFFERS; i++)
        if (given[i] && given[i] != Py_None) {
            int flags = i > Y || (i == Y && !backward) ? PyBUF_CONTIG : PyBUF_CONTIG_RO;
            found = PyObject_GetBuffer(given[i], b + i, flags) == 0;
        }
    if (found) {
        Plan plan;
        int set = find_set(name);
        const Kernel *kernel = set < 0 ? NULL : kernels + set;
        valid = kernel && b[LAYOUT].obj && b[PROFILES].obj &&
                make_plan(&plan, kernel, b + LAYOUT, b + PROFILES) &&
                plan_steps(&plan, kernel, b + STEPS, b + WEIGHTS) &&
                consistent(&plan, b, backward);
        if (valid) {
            Call call = {b[X].buf, b[MIXING].buf, b[TABLE].buf,
                         b[Y].buf, b[X_GRADIENT].buf, b[TABLE_GRADIENT].buf, b[MIXED].buf};
            float *gradient = b[MIXING_GRADIENT].buf;
            Py_BEGIN_ALLOW_THREADS;
            done = backward ? run_differentiate(&plan, kernel, &call, gradient, threads)
                            : run_convolve(&plan, kernel, &call, threads);
            Py_END_ALLOW_THREADS;
        }
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

/* convolve(kernel, threads, layout, profiles, steps, weights, x, mixing, table, y): fill y.  Where
   responses are not steered, steps, weights and table are None. */
static PyObject *convolve(PyObject *self, PyObject *args) {
    (void)self;
    return run(args, 0);
}

/* differentiate(..., y_gradient, x_gradient, mixing_gradient, table_gradient, mixed): fill those of
   the last four that are not None; the gradient of the mixing comes alone, or with what convolve
   makes of the same responses.  What is not needed may be None.  Here the mixing has outputs first,
   and then leaves and channels; its gradient has them last, and so has it in convolve and where
   `mixed` is filled. */
static PyObject *differentiate(PyObject *self, PyObject *args) {
    (void)self;
    return run(args, 1);
}

static PyMethodDef methods[] = {
    {"convolve", convolve, METH_VARARGS, "Fill an array with mixed responses."},
    {"differentiate", differentiate, METH_VARARGS, "Fill arrays with their gradients."},
    {"available", available, METH_NOARGS, "Name the kernels that this processor can run."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_fused", "The compiled kernel of frame convolutions.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__fused(void) { return PyModule_Create(&module); }
