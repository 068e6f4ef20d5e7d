/* Batch norm, maximum over windows, rectifier and dropout at once, forward and backward.

       y = factor keep max(0, max over a window of (gain x + shift))

   with the mean and the variance of the batch in gain and shift.  The window has three places
   along each axis, every second one in its middle, or is a single place.  What comes from where is
   kept as a byte for each value of y, and nothing else is.  Arrays lie place by place with the
   channels side by side.  Sums are made of pieces that are the same for any number of threads. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>

#include "instructions.h"

#define AXES 3
#define NOWHERE 255 /* where a value comes from that does not pass */
#define PIECE 256   /* places that moments are made of */
#define LINES 4     /* rows of a task */
#define WINDOW 27   /* places of a window, */
#define REACHED 8   /* and outputs that have one place in theirs */

enum { N, CHANNELS, POOLED, EXTENTS, N_NUMBERS = EXTENTS + AXES }; /* of the layout */

typedef struct Work Work;
typedef void Task(const Work *, long);

typedef struct {
    Task *piece_of_moments, *output_rows, *piece_of_sums, *input_rows;
} Kernel;

struct Work {
    const Kernel *kernel;
    long n, channels, in[AXES], out[AXES], places, outs; /* places of all samples */
    int pooled, limit;                                   /* what draws are below that pass, */
    double eps, factor_wide;
    float factor; /* and what passes is multiplied by */
    const float *x, *weight, *bias, *above;
    const int16_t *draws;
    float *y, *picked, *mean, *variance, *x_gradient, *weight_gradient, *bias_gradient;
    uint8_t *origin;
    float *pieces; /* two rows of channels for each piece of a sum */
    float *rows;   /* gain and shift; in the gradient, and slope */
};

/* What an output is the largest of, and the numbers of these places. */
typedef struct {
    int count, place[WINDOW];
    const float *x[WINDOW];
} Window;

/* The outputs that a place may have given to, and its numbers there. */
typedef struct {
    int count, place[REACHED];
    long at[REACHED];
} Reached;

static inline long smaller(long a, long b) { return a < b ? a : b; }

static inline long rows_of(const long *extents, long n) { return n * extents[0] * extents[1]; }

/* The places of the window of output o along an axis that lie within it. */
static inline long first_of(const Work *work, long o) { return work->pooled && o == 0; }
static inline long stop_of(const Work *work, int axis, long o) {
    return work->pooled ? smaller(3, work->in[axis] - 2 * o + 1) : 1;
}
static inline long input(const Work *work, long o, long t) {
    return work->pooled ? 2 * o - 1 + t : o;
}

__attribute__((noinline)) static void read_window(const Work *work, long row, long w, Window *to) {
    long o1 = row % work->out[1], o0 = row / work->out[1] % work->out[0];
    long n = row / work->out[1] / work->out[0];
    to->count = 0;
    for (long a = first_of(work, o0); a < stop_of(work, 0, o0); a++)
        for (long b = first_of(work, o1); b < stop_of(work, 1, o1); b++)
            for (long t = first_of(work, w); t < stop_of(work, 2, w); t++, to->count++) {
                long line = (n * work->in[0] + input(work, o0, a)) * work->in[1] + input(work, o1, b);
                to->x[to->count] = work->x + (line * work->in[2] + input(work, w, t)) * work->channels;
                to->place[to->count] = (int)((a * 3 + b) * 3 + t);
            }
}

/* The outputs whose windows reach input i along an axis, and the number of the input there. */
static inline long first_reached(const Work *work, long i) { return work->pooled ? i / 2 : i; }
static inline long stop_reached(const Work *work, int axis, long i) {
    return work->pooled ? smaller(work->out[axis], (i + 1) / 2 + 1) : i + 1;
}
static inline long number(const Work *work, long i, long o) {
    return work->pooled ? i + 1 - 2 * o : 0;
}

__attribute__((noinline)) static void read_reached(const Work *work, long row, long w, Reached *to) {
    long i1 = row % work->in[1], i0 = row / work->in[1] % work->in[0];
    long n = row / work->in[1] / work->in[0];
    to->count = 0;
    for (long a = first_reached(work, i0); a < stop_reached(work, 0, i0); a++)
        for (long b = first_reached(work, i1); b < stop_reached(work, 1, i1); b++)
            for (long o = first_reached(work, w); o < stop_reached(work, 2, w); o++, to->count++) {
                to->at[to->count] = ((n * work->out[0] + a) * work->out[1] + b) * work->out[2] + o;
                to->place[to->count] = (int)((number(work, i0, a) * 3 + number(work, i1, b)) * 3 +
                                             number(work, w, o));
            }
}

#if defined(__x86_64__)
#define SUFFIX _avx512_
#define ATTRIBUTE AVX512
#define LANES 16
#include "_norms.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#define SUFFIX _avx2_
#define ATTRIBUTE AVX2
#define LANES 8
#include "_norms.h"
#undef SUFFIX
#undef ATTRIBUTE
#undef LANES
#endif
#define SUFFIX _plain_
#define ATTRIBUTE
#define LANES 4
#include "_norms.h"

/* By the number of the set. */
static const Kernel kernels[] = {
#if defined(__x86_64__)
    {piece_of_moments_avx512_16, output_rows_avx512_16, piece_of_sums_avx512_16,
     input_rows_avx512_16},
    {piece_of_moments_avx2_8, output_rows_avx2_8, piece_of_sums_avx2_8, input_rows_avx2_8},
#endif
    {piece_of_moments_plain_4, output_rows_plain_4, piece_of_sums_plain_4, input_rows_plain_4},
};

/* A part of the work, in tasks. */
typedef struct {
    const Work *work;
    Task *task;
    long next, stop;
} Part;

/* What each thread does: task after task, until there is none. */
static void do_tasks(void *data) {
    Part *part = data;
    for (long task;;) {
        task = __atomic_fetch_add(&part->next, 1, __ATOMIC_RELAXED);
        if (task >= part->stop) return;
        part->task(part->work, task);
    }
}

static void in_tasks(const Work *work, Task *task, long tasks, long threads) {
    Part part = {work, task, 0, tasks};
    in_threads(do_tasks, &part, smaller(threads, tasks));
}

static long tasks_of(long count, long size) { return (count + size - 1) / size; }

static void run_forward(Work *work, long threads) {
    long c = work->channels, pieces = tasks_of(work->places, PIECE);
    in_tasks(work, work->kernel->piece_of_moments, pieces, threads);
    for (long i = 0; i < c; i++) {
        double mean = 0, squares = 0, before = 0;
        for (long k = 0; k < pieces; k++) { /* moments of all pieces so far */
            const float *piece = work->pieces + k * 2 * c + i;
            double count = (double)smaller(PIECE, work->places - k * PIECE);
            double apart = piece[0] - mean, all = before + count;
            mean += apart * count / all;
            squares += piece[c] + apart * apart * before * count / all;
            before = all;
        }
        double variance = squares / before, gain = work->weight[i] / sqrt(variance + work->eps);
        work->mean[i] = (float)mean, work->variance[i] = (float)variance;
        work->rows[i] = (float)gain, work->rows[c + i] = (float)(work->bias[i] - gain * mean);
    }
    in_tasks(work, work->kernel->output_rows, tasks_of(rows_of(work->out, work->n), LINES), threads);
}

static void run_backward(Work *work, long threads) {
    long c = work->channels, pieces = tasks_of(work->outs, PIECE);
    in_tasks(work, work->kernel->piece_of_sums, pieces, threads);
    for (long i = 0; i < c; i++) {
        double sum = 0, product = 0, factor = work->factor_wide;
        for (long k = 0; k < pieces; k++) {
            sum += work->pieces[k * 2 * c + i];
            product += work->pieces[k * 2 * c + c + i];
        }
        double inverse = 1 / sqrt(work->variance[i] + work->eps);
        double gain = factor * work->weight[i] * inverse, n = (double)work->places;
        work->bias_gradient[i] = (float)(factor * sum);
        work->weight_gradient[i] = (float)(factor * product * inverse);
        work->rows[i] = (float)gain, work->rows[c + i] = (float)(gain * sum / n);
        work->rows[2 * c + i] = (float)(gain * inverse * inverse * product / n);
    }
    in_tasks(work, work->kernel->input_rows, tasks_of(rows_of(work->in, work->n), LINES), threads);
}

/* --- Python -------------------------------------------------------------------------------- */

enum {
    LAYOUT, X, WEIGHT, BIAS, DRAWS, MEAN, VARIANCE, Y, ORIGIN, PICKED,
    X_GRADIENT, WEIGHT_GRADIENT, BIAS_GRADIENT, N_BUFFERS
};

static int holds(const Py_buffer *buffer, size_t bytes) {
    return buffer->obj && (size_t)buffer->len == bytes;
}

/* Read what there is; return whether arrays are as long as the layout says. */
static int read_arrays(Work *work, const Py_buffer *b, int backward) {
    const int64_t *number = b[LAYOUT].buf;
    if (!holds(b + LAYOUT, sizeof(int64_t) * N_NUMBERS)) return 0;
    work->n = number[N], work->channels = number[CHANNELS], work->pooled = number[POOLED] != 0;
    if (work->n < 1 || work->channels < 1) return 0;
    work->places = work->outs = work->n;
    for (int i = 0; i < AXES; i++) {
        long in = work->in[i] = number[EXTENTS + i];
        if (in < 1) return 0;
        work->out[i] = work->pooled ? (in - 1) / 2 + 1 : in;
        work->places *= in, work->outs *= work->out[i];
    }
    size_t row = sizeof(float) * work->channels;
    size_t values = (size_t)work->places * work->channels, outs = (size_t)work->outs * work->channels;
    if (!holds(b + X, sizeof(float) * values) || !holds(b + WEIGHT, row) || !holds(b + MEAN, row) ||
        !holds(b + VARIANCE, row) || !holds(b + Y, sizeof(float) * outs) || !holds(b + ORIGIN, outs))
        return 0;
    if (work->pooled ? !holds(b + PICKED, sizeof(float) * outs) : b[PICKED].obj != NULL) return 0;
    if (backward && (!holds(b + X_GRADIENT, sizeof(float) * values) ||
                     !holds(b + WEIGHT_GRADIENT, row) || !holds(b + BIAS_GRADIENT, row)))
        return 0;
    if (!backward && (!holds(b + BIAS, row) ||
                      (b[DRAWS].obj && !holds(b + DRAWS, sizeof(int16_t) * outs))))
        return 0;
    work->x = b[X].buf, work->weight = b[WEIGHT].buf, work->bias = b[BIAS].buf;
    work->draws = b[DRAWS].buf, work->mean = b[MEAN].buf, work->variance = b[VARIANCE].buf;
    work->y = b[Y].buf, work->above = b[Y].buf, work->origin = b[ORIGIN].buf;
    work->picked = work->pooled ? b[PICKED].buf : b[X].buf; /* which is only read there */
    work->x_gradient = b[X_GRADIENT].buf, work->weight_gradient = b[WEIGHT_GRADIENT].buf;
    work->bias_gradient = b[BIAS_GRADIENT].buf;
    return 1;
}

/* run(kernel, threads, backward, eps, limit, factor, layout, x, weight, bias, draws, mean,
   variance, y, origin, picked, x_gradient, weight_gradient, bias_gradient): forward, fill mean,
   variance, y, origin and, where there are windows, the values that were picked of them, and let
   through what draws below the limit where there are draws; backward, y is its gradient, and those of x, weight and bias are filled.  What is not needed is None. */
static PyObject *run(PyObject *self, PyObject *args) {
    (void)self;
    const char *name;
    long threads;
    int backward;
    PyObject *given[N_BUFFERS] = {NULL};
    Py_buffer b[N_BUFFERS] = {0};
    Work work = {0};
    if (!PyArg_ParseTuple(args, "slpdidOOOOOOOOOOOOO", &name, &threads, &backward, &work.eps,
                          &work.limit, &work.factor_wide, given, given + 1, given + 2,
                          given + 3, given + 4, given + 5, given + 6, given + 7, given + 8,
                          given + 9, given + 10, given + 11, given + 12))
        return NULL;
    work.factor = (float)work.factor_wide;
    int found = 1, done = 0, valid = 0;
    for (int i = 0; found && i < N_BUFFERS; i++)
        if (given[i] != Py_None) {
            int filled = backward ? i >= X_GRADIENT : i >= MEAN;
            found = PyObject_GetBuffer(given[i], b + i, filled ? PyBUF_CONTIG : PyBUF_CONTIG_RO) == 0;
        }
    if (found) {
        int set = find_set(name);
        valid = set >= 0 && read_arrays(&work, b, backward);
        if (valid) {
            work.kernel = kernels + set;
            Py_BEGIN_ALLOW_THREADS;
            size_t bytes = sizeof(float) * work.channels;
            work.pieces = aligned(bytes * 2 * tasks_of(work.places, PIECE)); /* outputs are fewer */
            work.rows = aligned(bytes * 3);
            done = work.pieces && work.rows;
            if (done) (backward ? run_backward : run_forward)(&work, threads);
            free(work.pieces);
            free(work.rows);
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

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "Fill arrays with what passes, or with gradients."},
    {"available", available, METH_NOARGS, "Name the kernels that this processor can run."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_norms", "The compiled kernel of norms, pooling and rectifiers.", -1,
    methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__norms(void) { return PyModule_Create(&module); }
