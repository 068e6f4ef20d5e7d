/* Boundary pixels that are matched with those of annotators, at all thresholds of a map. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NONE (-1) /* no pixel, or one of the annotator that no augmenting path can use */
#define FREE (-2) /* a pixel of the annotator that is not matched */

/* Places are those of a grid with a margin of zeros around the image. */
typedef struct {
    long height, width, margin, step;
    size_t size;
} Grid;

static Grid make_grid(long height, long width, long margin) {
    long step = width + 2 * margin;
    return (Grid){height, width, margin, step, (size_t)step * (height + 2 * margin)};
}

static inline int32_t first_place(const Grid *grid, long row) {
    return (int32_t)((row + grid->margin) * grid->step + grid->margin);
}

/* --- thinning ------------------------------------------------------------------------------ */

static uint8_t removable[2][256]; /* by subiteration and neighbours, from the east anticlockwise */

/* Guo and Hall, 1989: what is removed is no end, and its neighbours hang together. */
static void fill_removable(void) {
    for (int code = 0; code < 256; code++) {
        int x[10], crossings = 0, one = 0, other = 0;
        for (int i = 1; i < 10; i++) x[i] = code >> (i - 1) % 8 & 1;
        for (int i = 1; i < 9; i += 2) {
            crossings += !x[i] && (x[i + 1] || x[i + 2]);
            one += x[i] || x[i + 1];
            other += x[i + 1] || x[i + 2];
        }
        int least = one < other ? one : other;
        int thick = crossings == 1 && least >= 2 && least <= 3;
        removable[0][code] = thick && !((x[2] || x[3] || !x[8]) && x[1]);
        removable[1][code] = thick && !((x[6] || x[7] || !x[4]) && x[5]);
    }
}

static inline int neighbours(const uint8_t *mask, const long *around) {
    int code = 0;
    for (int i = 0; i < 8; i++) code |= (mask[around[i]] != 0) << i;
    return code;
}

/* Thin what is set in a mask, of which the n places are given; gone has room for n. */
static void thin_mask(const Grid *grid, uint8_t *mask, const int32_t *place, long n,
                      int32_t *gone) {
    long s = grid->step, around[8] = {1, 1 - s, -s, -s - 1, -1, s - 1, s, s + 1};
    long before = 0, last = 0, end = 0; /* where those of the last two passes begin */
    for (int pass = 0; pass < 2 || before < end; pass++) {
        const uint8_t *remove = removable[pass & 1];
        long start = end;
        if (pass < 2)
            for (long i = 0; i < n; i++) {
                uint8_t *pixel = mask + place[i];
                if (*pixel == 1 && remove[neighbours(pixel, around)]) gone[end++] = place[i];
            }
        else /* whose neighbours are as they were is not removed now either */
            for (long i = before; i < start; i++)
                for (int j = 0; j < 8; j++) {
                    uint8_t *pixel = mask + gone[i] + around[j];
                    if (*pixel == 1 && remove[neighbours(pixel, around)]) {
                        *pixel = 2; /* it is still there for its neighbours */
                        gone[end++] = gone[i] + (int32_t)around[j];
                    }
                }
        for (long i = start; i < end; i++) mask[gone[i]] = 0;
        before = last;
        last = start;
    }
}

/* List the places of a mask row by row. */
static long list_places(const Grid *grid, const uint8_t *mask, int32_t *place) {
    long n = 0;
    for (long row = 0; row < grid->height; row++) {
        int32_t first = first_place(grid, row);
        for (int32_t p = first; p < first + grid->width; p++)
            if (mask[p]) place[n++] = p;
    }
    return n;
}

/* --- matching ------------------------------------------------------------------------------ */

/* An annotator: the places of the pixels, and whether a place has one of them within reach. */
typedef struct {
    long n;
    int32_t *place;
    uint8_t *near;
} Annotator;

/* What is needed for one annotator after another.  Predicted pixels go by number. */
typedef struct {
    int32_t *offset; /* by distance */
    long n_offsets;
    int32_t *owner;                   /* of a place: NONE, FREE, or whom it is matched with */
    int32_t *seen, *from;             /* of a place: the search that came here, and from whom */
    int32_t *match, *waiting, *queue; /* of predicted pixels */
} Matching;

/* Look for a shortest augmenting path from a pixel, and match along it. */
static void augment(Matching *m, const int32_t *place, int32_t root) {
    long head = 0, tail = 0;
    m->queue[tail++] = root;
    while (head < tail) {
        int32_t pixel = m->queue[head++];
        for (long k = 0; k < m->n_offsets; k++) {
            int32_t p = place[pixel] + m->offset[k];
            if (m->owner[p] == NONE || m->seen[p] == root) continue;
            m->seen[p] = root;
            m->from[p] = pixel;
            if (m->owner[p] != FREE) {
                m->queue[tail++] = m->owner[p];
                continue;
            }
            for (int32_t freed; p != NONE; p = freed) {
                freed = m->match[m->from[p]];
                m->owner[p] = m->from[p];
                m->match[m->from[p]] = p;
            }
            return;
        }
    }
    /* No path leads out of here, nor will one after other paths are taken. */
    for (long i = 1; i < tail; i++) m->owner[m->match[m->queue[i]]] = NONE;
}

/* Match as many pixels as can be: greedily by distance, then by augmenting paths. */
static long match_pixels(Matching *m, const Annotator *truth, const int32_t *place, long n,
                         uint8_t *matched) {
    long n_matched = 0, n_waiting = 0;
    for (long i = 0; i < truth->n; i++) {
        m->owner[truth->place[i]] = FREE;
        m->seen[truth->place[i]] = NONE;
    }
    for (long i = 0; i < n; i++) {
        m->match[i] = NONE;
        if (truth->near[place[i]]) m->waiting[n_waiting++] = (int32_t)i;
    }
    for (long k = 0; k < m->n_offsets; k++) {
        long kept = 0;
        for (long i = 0; i < n_waiting; i++) {
            int32_t pixel = m->waiting[i], p = place[pixel] + m->offset[k];
            if (m->owner[p] == FREE) {
                m->owner[p] = pixel;
                m->match[pixel] = p;
            } else
                m->waiting[kept++] = pixel;
        }
        n_waiting = kept;
    }
    for (long i = 0; i < n_waiting; i++) augment(m, place, m->waiting[i]);
    for (long i = 0; i < n; i++)
        if (m->match[i] != NONE) {
            matched[i] = 1;
            n_matched++;
        }
    for (long i = 0; i < truth->n; i++) m->owner[truth->place[i]] = NONE;
    return n_matched;
}

/* --- counting ------------------------------------------------------------------------------ */

enum { MATCHED_TRUTH, TOTAL_TRUTH, MATCHED_PREDICTED, TOTAL_PREDICTED, N_COUNTS };

typedef struct {
    Grid grid;
    Matching matching;
    long n_annotators, n_thresholds;
    Annotator *annotator;
    uint8_t *mask, *matched, *near;
    int32_t *place, *spare, *truths;
} Work;

static int allocate(Work *w, long n_offsets) {
    size_t size = w->grid.size, n = (size_t)w->grid.height * w->grid.width, k = w->n_annotators;
    Matching *m = &w->matching;
    m->offset = malloc(sizeof(int32_t) * (n_offsets + 1));
    m->owner = malloc(sizeof(int32_t) * size);
    m->seen = malloc(sizeof(int32_t) * size);
    m->from = malloc(sizeof(int32_t) * size);
    m->match = malloc(sizeof(int32_t) * n);
    m->waiting = malloc(sizeof(int32_t) * n);
    m->queue = malloc(sizeof(int32_t) * n);
    w->annotator = malloc(sizeof(Annotator) * (k + 1));
    w->mask = calloc(size, 1);
    w->matched = malloc(n);
    w->near = calloc(size * k + 1, 1);
    w->place = malloc(sizeof(int32_t) * n);
    w->spare = malloc(sizeof(int32_t) * n);
    w->truths = malloc(sizeof(int32_t) * (n * k + 1));
    return m->offset && m->owner && m->seen && m->from && m->match && m->waiting && m->queue &&
           w->annotator && w->mask && w->matched && w->near && w->place && w->spare && w->truths;
}

static void release(Work *w) {
    Matching *m = &w->matching;
    void *all[] = {m->offset,    m->owner, m->seen,    m->from, m->match, m->waiting, m->queue,
                   w->annotator, w->mask,  w->matched, w->near, w->place, w->spare,   w->truths};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) free(all[i]);
}

/* Put the pixels of an annotator into the grid, and find what is within reach of them. */
static int32_t *read_truth(Work *w, const uint8_t *truth, long number, int32_t *place) {
    Annotator *a = w->annotator + number;
    *a = (Annotator){0, place, w->near + w->grid.size * number};
    for (long row = 0; row < w->grid.height; row++)
        for (long column = 0; column < w->grid.width; column++)
            if (truth[row * w->grid.width + column])
                a->place[a->n++] = first_place(&w->grid, row) + (int32_t)column;
    for (long i = 0; i < a->n; i++)
        for (long k = 0; k < w->matching.n_offsets; k++)
            a->near[a->place[i] - w->matching.offset[k]] = 1;
    return place + a->n;
}

/* Count at one threshold: what is predicted are the pixels of higher levels. */
static void count_once(Work *w, const int32_t *level, int32_t threshold, int64_t *counts) {
    memset(counts, 0, sizeof(int64_t) * N_COUNTS);
    for (long row = 0; row < w->grid.height; row++) {
        const int32_t *from = level + row * w->grid.width;
        uint8_t *to = w->mask + first_place(&w->grid, row);
        for (long column = 0; column < w->grid.width; column++) to[column] = from[column] > threshold;
    }
    long n = list_places(&w->grid, w->mask, w->place);
    thin_mask(&w->grid, w->mask, w->place, n, w->spare);
    n = list_places(&w->grid, w->mask, w->place);
    memset(w->matched, 0, n);
    for (long k = 0; k < w->n_annotators; k++) {
        const Annotator *truth = w->annotator + k;
        counts[MATCHED_TRUTH] += match_pixels(&w->matching, truth, w->place, n, w->matched);
        counts[TOTAL_TRUTH] += truth->n;
    }
    for (long i = 0; i < n; i++) counts[MATCHED_PREDICTED] += w->matched[i];
    counts[TOTAL_PREDICTED] = n;
}

static void count_all(Work *w, const int32_t *level, const uint8_t *truths, const int32_t *offset,
                      int64_t *counts) {
    size_t n = (size_t)w->grid.height * w->grid.width;
    int32_t *place = w->truths;
    for (long k = 0; k < w->matching.n_offsets; k++)
        w->matching.offset[k] = offset[2 * k] * (int32_t)w->grid.step + offset[2 * k + 1];
    for (size_t i = 0; i < w->grid.size; i++) w->matching.owner[i] = NONE;
    for (long k = 0; k < w->n_annotators; k++) place = read_truth(w, truths + k * n, k, place);
    for (int32_t t = (int32_t)w->n_thresholds - 1; t >= 0; t--) {
        int64_t *row = counts + (size_t)t * N_COUNTS;
        int as_above = t < w->n_thresholds - 1;
        for (size_t i = 0; as_above && i < n; i++) as_above = level[i] != t + 1;
        if (as_above)
            memcpy(row, row + N_COUNTS, sizeof(int64_t) * N_COUNTS);
        else
            count_once(w, level, t, row);
    }
}

/* --- Python -------------------------------------------------------------------------------- */

enum { LEVELS, TRUTHS, OFFSETS, COUNTS, N_BUFFERS };

/* Return the largest step of the offsets along an axis. */
static long reach_of(const int32_t *offset, long n) {
    long reach = 0;
    for (long i = 0; i < n; i++)
        if (labs(offset[i]) > reach) reach = labs(offset[i]);
    return reach;
}

static int small(long height, long width, long margin) {
    return height > 0 && width > 0 && margin < INT32_MAX / 4 && height < INT32_MAX / 4 &&
           (double)(height + 2 * margin) * (width + 2 * margin) < INT32_MAX;
}

/* count(height, width, levels, truths, offsets, counts): fill the counts of each threshold. */
static PyObject *count(PyObject *self, PyObject *args) {
    (void)self;
    Work w;
    Py_buffer b[N_BUFFERS];
    long height, width;
    memset(&w, 0, sizeof(w));
    if (!PyArg_ParseTuple(args, "lly*y*y*w*", &height, &width, b + LEVELS, b + TRUTHS, b + OFFSETS,
                          b + COUNTS))
        return NULL;
    long n_offsets = (long)(b[OFFSETS].len / (2 * sizeof(int32_t)));
    long reach = reach_of(b[OFFSETS].buf, 2 * n_offsets), margin = reach > 1 ? reach : 1;
    int valid = small(height, width, margin), done = 0;
    if (valid) {
        size_t n = (size_t)height * width;
        w.grid = make_grid(height, width, margin);
        w.matching.n_offsets = n_offsets;
        w.n_annotators = (long)(b[TRUTHS].len / n);
        w.n_thresholds = (long)(b[COUNTS].len / (N_COUNTS * sizeof(int64_t)));
        valid = (size_t)b[LEVELS].len == n * sizeof(int32_t) &&
                (size_t)b[TRUTHS].len == n * w.n_annotators;
    }
    if (valid) {
        Py_BEGIN_ALLOW_THREADS;
        done = allocate(&w, n_offsets);
        if (done) count_all(&w, b[LEVELS].buf, b[TRUTHS].buf, b[OFFSETS].buf, b[COUNTS].buf);
        release(&w);
        Py_END_ALLOW_THREADS;
    }
    for (int i = 0; i < N_BUFFERS; i++) PyBuffer_Release(b + i);
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "Arrays do not fit, or the image is too large.");
        return NULL;
    }
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* thin(height, width, mask): thin a mask of bytes 0 and 1 in place. */
static PyObject *thin(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer b;
    long height, width;
    if (!PyArg_ParseTuple(args, "llw*", &height, &width, &b)) return NULL;
    int valid = small(height, width, 1) && b.len == (Py_ssize_t)height * width, done = 0;
    if (valid) {
        Py_BEGIN_ALLOW_THREADS;
        Grid grid = make_grid(height, width, 1);
        uint8_t *mask = calloc(grid.size, 1), *image = b.buf;
        int32_t *place = calloc(b.len, sizeof(int32_t)), *gone = calloc(b.len, sizeof(int32_t));
        done = mask && place && gone;
        for (long row = 0; done && row < height; row++)
            memcpy(mask + first_place(&grid, row), image + row * width, width);
        long n = done ? list_places(&grid, mask, place) : 0;
        if (done) thin_mask(&grid, mask, place, n, gone);
        for (long row = 0; done && row < height; row++)
            memcpy(image + row * width, mask + first_place(&grid, row), width);
        free(mask);
        free(place);
        free(gone);
        Py_END_ALLOW_THREADS;
    }
    PyBuffer_Release(&b);
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "Arrays do not fit, or the image is too large.");
        return NULL;
    }
    if (!done) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"count", count, METH_VARARGS, "Count matched pixels at all thresholds."},
    {"thin", thin, METH_VARARGS, "Thin a mask."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_boundaries", "The compiled part of scores of boundaries.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__boundaries(void) {
    fill_removable();
    return PyModule_Create(&module);
}
