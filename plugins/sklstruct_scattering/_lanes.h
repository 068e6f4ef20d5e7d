/* The transform of LANES signals side by side, one in each lane of a vector; or of one signal,
   with paths that differ in their first wavelet side by side.

   Included once for each instruction set and number of lanes: TARGET(name) gives names a suffix,
   ATTRIBUTE the instructions.  Every operation is the same for all lanes, so that signals cannot touch each
   other and the result of one does not depend on its company. */

#define Vector TARGET(Vector)
#define Complex TARGET(Complex)
#define INLINE ATTRIBUTE static inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef struct {
    Vector re, im;
} Complex;

/* --- Fourier transform of one line: Stockham's algorithm, mixed radices ------------------- */

INLINE Complex TARGET(times)(Complex a, float re, float im) {
    return (Complex){a.re * re - a.im * im, a.re * im + a.im * re};
}
INLINE Complex TARGET(plus)(Complex a, Complex b) { return (Complex){a.re + b.re, a.im + b.im}; }
INLINE Complex TARGET(minus)(Complex a, Complex b) { return (Complex){a.re - b.re, a.im - b.im}; }
INLINE Complex TARGET(by_minus_i)(Complex a) { return (Complex){a.im, -a.re}; }

INLINE void TARGET(dft2)(Complex *a) {
    Complex b = TARGET(minus)(a[0], a[1]);
    a[0] = TARGET(plus)(a[0], a[1]);
    a[1] = b;
}

INLINE void TARGET(dft3)(Complex *a) {
    const float half_root = 0.866025403784438647f;
    Complex sum = TARGET(plus)(a[1], a[2]), difference = TARGET(minus)(a[1], a[2]);
    Complex middle = {a[0].re - 0.5f * sum.re, a[0].im - 0.5f * sum.im};
    Complex turned = {half_root * difference.im, -half_root * difference.re};
    a[0] = TARGET(plus)(a[0], sum);
    a[1] = TARGET(plus)(middle, turned);
    a[2] = TARGET(minus)(middle, turned);
}

INLINE void TARGET(dft4)(Complex *a) {
    Complex s02 = TARGET(plus)(a[0], a[2]), d02 = TARGET(minus)(a[0], a[2]);
    Complex s13 = TARGET(plus)(a[1], a[3]), d13 = TARGET(by_minus_i)(TARGET(minus)(a[1], a[3]));
    a[0] = TARGET(plus)(s02, s13);
    a[1] = TARGET(plus)(d02, d13);
    a[2] = TARGET(minus)(s02, s13);
    a[3] = TARGET(minus)(d02, d13);
}

INLINE void TARGET(dft5)(Complex *a) {
    const float c1 = 0.309016994374947424f, c2 = -0.809016994374947424f;
    const float s1 = 0.951056516295153572f, s2 = 0.587785252292473129f;
    Complex p1 = TARGET(plus)(a[1], a[4]), m1 = TARGET(minus)(a[1], a[4]);
    Complex p2 = TARGET(plus)(a[2], a[3]), m2 = TARGET(minus)(a[2], a[3]);
    Complex e1 = {a[0].re + c1 * p1.re + c2 * p2.re, a[0].im + c1 * p1.im + c2 * p2.im};
    Complex e2 = {a[0].re + c2 * p1.re + c1 * p2.re, a[0].im + c2 * p1.im + c1 * p2.im};
    Complex o1 = {s1 * m1.im + s2 * m2.im, -(s1 * m1.re + s2 * m2.re)};
    Complex o2 = {s2 * m1.im - s1 * m2.im, -(s2 * m1.re - s1 * m2.re)};
    a[0] = TARGET(plus)(a[0], TARGET(plus)(p1, p2));
    a[1] = TARGET(plus)(e1, o1);
    a[2] = TARGET(plus)(e2, o2);
    a[3] = TARGET(minus)(e2, o2);
    a[4] = TARGET(minus)(e1, o1);
}

/* One pass of a small radix: groups of r values, m apart in the input, side by side in the
   output.  `done` is the product of the radices of earlier passes. */
#define SMALL_PASS(r)                                                                             \
    ATTRIBUTE static void TARGET(pass##r)(const Complex *x, long sx, Complex *y, long sy,         \
                                          long m, long done, const float *twiddle) {             \
        for (long p = 0; p < m; p++)                                                              \
            for (long q = 0; q < done; q++) {                                                     \
                Complex a[r];                                                                     \
                for (int k = 0; k < r; k++) a[k] = x[(q + done * (p + m * k)) * sx];              \
                TARGET(dft##r)(a);                                                                \
                y[(q + done * r * p) * sy] = a[0];                                                \
                for (int k = 1; k < r; k++) {                                                     \
                    const float *w = twiddle + 2 * (p * (r - 1) + k - 1);                         \
                    y[(q + done * (r * p + k)) * sy] = TARGET(times)(a[k], w[0], w[1]);           \
                }                                                                                 \
            }                                                                                     \
    }
SMALL_PASS(2)
SMALL_PASS(3)
SMALL_PASS(4)
SMALL_PASS(5)

/* A pass of any other radix, which is odd.  Values k and r - k are added and subtracted first:
   the cosines then meet the sums only, and the sines the differences.  Two outputs at a time share
   what is loaded; `roots` has, for each two, the cosines and sines that value by value is
   multiplied by. */
ATTRIBUTE static void TARGET(pass_odd)(const Complex *x, long sx, Complex *y, long sy, long r,
                                       long m, long done, const float *twiddle,
                                       const float *roots) {
    long half = r / 2;
    Complex sum[MAX_RADIX / 2 + 1], difference[MAX_RADIX / 2 + 1];
    for (long p = 0; p < m; p++)
        for (long q = 0; q < done; q++) {
            const Complex first = x[(q + done * p) * sx];
            Complex total = first;
            for (long k = 1; k <= half; k++) {
                Complex a = x[(q + done * (p + m * k)) * sx];
                Complex b = x[(q + done * (p + m * (r - k))) * sx];
                sum[k] = TARGET(plus)(a, b);
                difference[k] = TARGET(minus)(a, b);
                total = TARGET(plus)(total, sum[k]);
            }
            y[(q + done * r * p) * sy] = total;
            const float *w = twiddle + 2 * p * (r - 1) - 2, *root = roots;
            for (long k = 1; k <= half; k += 2) {
                Complex even[2] = {first, first}, odd[2] = {{{0}, {0}}, {{0}, {0}}};
                for (long n = 1; n <= half; n++, root += 4) {
                    Complex s = sum[n], d = difference[n];
                    IN_REGISTERS(s.re); /* or they are loaded once for each output */
                    IN_REGISTERS(s.im);
                    IN_REGISTERS(d.re);
                    IN_REGISTERS(d.im);
#pragma GCC unroll 2
                    for (int i = 0; i < 2; i++) {
                        even[i].re += root[2 * i] * s.re;
                        even[i].im += root[2 * i] * s.im;
                        odd[i].re -= root[2 * i + 1] * d.im;
                        odd[i].im += root[2 * i + 1] * d.re;
                    }
                }
                for (int i = 0; i < 2 && k + i <= half; i++) {
                    long one = k + i, other = r - one;
                    Complex a = TARGET(plus)(even[i], odd[i]), b = TARGET(minus)(even[i], odd[i]);
                    if (p) { /* else the twiddles are 1, in all of a last pass */
                        a = TARGET(times)(a, w[2 * one], w[2 * one + 1]);
                        b = TARGET(times)(b, w[2 * other], w[2 * other + 1]);
                    }
                    y[(q + done * (r * p + one)) * sy] = a;
                    y[(q + done * (r * p + other)) * sy] = b;
                }
            }
        }
}

/* Transform a line in place; its values are `stride` apart. */
ATTRIBUTE static void TARGET(transform_line)(const Line *line, Complex *x, long stride,
                                             Complex *scratch) {
    const Complex *from = x;
    long from_stride = stride, done = 1, left = line->length;
    for (int i = 0; i < line->passes; i++) {
        long r = line->radix[i], m = left / r;
        int last = i == line->passes - 1;
        Complex *to = last ? x : scratch + (i % 2) * line->length;
        long to_stride = last ? stride : 1;
        const float *w = line->twiddle[i];
        switch (r) {
            case 2: TARGET(pass2)(from, from_stride, to, to_stride, m, done, w); break;
            case 3: TARGET(pass3)(from, from_stride, to, to_stride, m, done, w); break;
            case 4: TARGET(pass4)(from, from_stride, to, to_stride, m, done, w); break;
            case 5: TARGET(pass5)(from, from_stride, to, to_stride, m, done, w); break;
            default:
                TARGET(pass_odd)(from, from_stride, to, to_stride, r, m, done, w, line->roots[i]);
        }
        from = to, from_stride = to_stride, done *= r, left = m;
    }
}

ATTRIBUTE static void TARGET(transform)(const Grid *grid, Complex *x, Complex *scratch) {
    long rows = grid->rows.length, columns = grid->columns.length;
    for (long i = 0; i < rows; i++) TARGET(transform_line)(&grid->columns, x + i * columns, 1, scratch);
    for (long k = 0; k < columns; k++) TARGET(transform_line)(&grid->rows, x + k, columns, scratch);
}

/* --- the steps between the Fourier transforms --------------------------------------------- */

/* Fill a padded grid with signals; `row` and `column` say where values come from. */
ATTRIBUTE static void TARGET(gather)(const Plan *plan, const float *const *signals, Complex *x) {
    long rows = plan->grid[0].rows.length, columns = plan->grid[0].columns.length;
    for (long i = 0; i < rows; i++)
        for (long k = 0; k < columns; k++) {
            Complex *to = x + i * columns + k;
            long from_row = plan->row_source[i], from_column = plan->column_source[k];
            to->im = (Vector){0};
            if (from_row < 0 || from_column < 0) {
                to->re = (Vector){0};
                continue;
            }
            for (int lane = 0; lane < LANES; lane++)
                ((float *)&to->re)[lane] = signals[lane][from_row * plan->width + from_column];
        }
}

/* Divide each signal that is very large or very small by a power of 2, so that squares of moduli
   neither overflow nor vanish, and return these powers: scattering is homogeneous. */
ATTRIBUTE static Vector TARGET(normalise)(long n, Complex *x) {
    Vector power;
    for (int lane = 0; lane < LANES; lane++) {
        float largest = 0;
        for (long i = 0; i < n; i++) {
            float size = fabsf(((float *)&x[i].re)[lane]);
            largest = size > largest ? size : largest;
        }
        int exponent = 0;
        if (largest > 0 && largest <= FLT_MAX) frexpf(largest, &exponent);
        if (exponent > -USUAL && exponent < USUAL) exponent = 0;
        ((float *)&power)[lane] = ldexpf(1, exponent);
        float factor = ldexpf(1, -exponent);
        for (long i = 0; exponent && i < n; i++) ((float *)&x[i].re)[lane] *= factor;
    }
    return power;
}

/* Multiply a spectrum by a filter and add the aliases: the spectrum of the response at every
   `step`-th sample.  Real and imaginary part change places, which makes the next Fourier
   transform an inverse one; the modulus does not mind.  WEIGHT gives the filter at a place. */
#define FILTER(name, Filter, WEIGHT)                                                              \
    ATTRIBUTE static void TARGET(name)(const Grid *grid, const Grid *coarse, const Complex *x,    \
                                       Filter psi, Complex *y) {                                  \
        long rows = coarse->rows.length, columns = coarse->columns.length;                        \
        long width = grid->columns.length;                                                        \
        long down = grid->rows.length / rows, across = width / columns;                           \
        for (long i = 0; i < rows; i++)                                                           \
            for (long k = 0; k < columns; k++) {                                                  \
                Complex sum = {{0}, {0}};                                                         \
                for (long a = 0; a < down; a++)                                                   \
                    for (long b = 0; b < across; b++) {                                           \
                        long place = (i + a * rows) * width + k + b * columns;                    \
                        sum.im += x[place].re * WEIGHT;                                           \
                        sum.re += x[place].im * WEIGHT;                                           \
                    }                                                                             \
                y[i * columns + k] = sum;                                                         \
            }                                                                                     \
    }

FILTER(filter, const float *, psi[place])

#if LANES == NARROW
INLINE Vector TARGET(of_lanes)(const float *const *psi, long place) {
    Vector weight;
    for (int lane = 0; lane < LANES; lane++) ((float *)&weight)[lane] = psi[lane][place];
    return weight;
}

FILTER(filter_each, const float *const *, TARGET(of_lanes)(psi, place))
#endif

ATTRIBUTE static void TARGET(modulus)(long n, Complex *x) {
    for (long i = 0; i < n; i++) {
        Vector square = x[i].re * x[i].re + x[i].im * x[i].im;
        float *to = (float *)&x[i].re;
        const float *from = (const float *)&square;
        for (int lane = 0; lane < LANES; lane++) to[lane] = sqrtf(from[lane]);
        x[i].im = (Vector){0};
    }
}

/* Average a modulus along rows, then along columns, at the places that are kept. */
ATTRIBUTE static void TARGET(average)(const Plan *plan, const long *numbers, const Complex *x,
                                      const Vector *power, Vector *rows_done,
                                      float *const *out) {
    int64_t level = plan->path[numbers[0]].level;
    const Average *down = plan->down + level, *across = plan->across + level;
    long columns = across->extent, size = plan->out_height * plan->out_width;
    for (long h = 0; h < plan->out_height; h++) {
        for (long k = 0; k < columns; k++) rows_done[k] = (Vector){0};
        long row = first_place(down, h);
        for (long i = 0; i < down->reach; i++, row = row + 1 == down->extent ? 0 : row + 1)
            for (long k = 0; k < columns; k++)
                rows_done[k] += down->weight[i] * x[row * columns + k].re;
        for (long w = 0; w < plan->out_width; w++) {
            Vector sum = {0};
            long column = first_place(across, w);
            for (long start = 0; start < across->reach; start += BLOCK) { /* long sums lose digits */
                Vector part = {0};
                long stop = start + BLOCK < across->reach ? start + BLOCK : across->reach;
                for (long i = start; i < stop; i++, column = column + 1 == columns ? 0 : column + 1)
                    part += across->weight[i] * rows_done[column];
                sum += part;
            }
            sum *= *power;
            long place = h * plan->out_width + w;
            for (int lane = 0; lane < LANES; lane++)
                if (out[lane]) out[lane][numbers[lane] * size + place] = ((float *)&sum)[lane];
        }
    }
}

/* Follow the paths below those whose moduli stand in x; x is used up.  The paths of the lanes
   have the same level, and children with the same wavelets. */
ATTRIBUTE static void TARGET(descend)(const Plan *plan, const long *numbers, const Vector *power,
                                      Complex *x, Complex *scratch, float *const *out) {
    const Path *path = plan->path + numbers[0];
    const Grid *grid = plan->grid + path->level;
    Complex *y = x + grid->rows.length * grid->columns.length;
    TARGET(average)(plan, numbers, x, power, (Vector *)scratch, out);
    if (path->children == 0) return;
    TARGET(transform)(grid, x, scratch);
    for (long k = 0; k < path->children; k++) {
        long children[LANES];
        for (int lane = 0; lane < LANES; lane++)
            children[lane] = plan->path[numbers[lane]].first_child + k;
        const Path *child = plan->path + children[0];
        const Grid *coarse = plan->grid + child->level;
        TARGET(filter)(grid, coarse, x, plan->filters + child->psi, y);
        TARGET(transform)(coarse, y, scratch);
        TARGET(modulus)(coarse->rows.length * coarse->columns.length, y);
        TARGET(descend)(plan, children, power, y, scratch, out);
    }
}

/* Scatter LANES signals. */
ATTRIBUTE static void TARGET(scatter)(const Plan *plan, const float *const *signals, void *space,
                                      void *scratch, float *const *out) {
    const long numbers[LANES] = {0};
    const Grid *grid = plan->grid;
    TARGET(gather)(plan, signals, space);
    Vector power = TARGET(normalise)(grid->rows.length * grid->columns.length, space);
    TARGET(descend)(plan, numbers, &power, space, scratch, out);
}

#if LANES == NARROW

/* Return how many paths from this one on, at most LANES, can be computed side by side. */
static long TARGET(alike)(const Plan *plan, long start, long stop) {
    const Path *first = plan->path + start;
    long n = 1;
    for (; n < LANES && start + n < stop; n++) {
        const Path *next = first + n;
        if (next->level != first->level || next->children != first->children) break;
        if (first->children &&
            plan->path[next->first_child].psi != plan->path[first->first_child].psi)
            break;
    }
    return n;
}

/* Scatter one signal, with paths of first order side by side. */
ATTRIBUTE static void TARGET(scatter_one)(const Plan *plan, const float *signal, void *space,
                                          void *scratch, float *out) {
    const Path *root = plan->path;
    const Grid *grid = plan->grid;
    Complex *x = space, *y = x + grid->rows.length * grid->columns.length;
    const float *signals[LANES], *psi[LANES];
    float *outs[LANES] = {out};
    long numbers[LANES] = {0};
    for (int lane = 0; lane < LANES; lane++) signals[lane] = signal;
    TARGET(gather)(plan, signals, x);
    Vector power = TARGET(normalise)(grid->rows.length * grid->columns.length, x);
    TARGET(average)(plan, numbers, x, &power, scratch, outs);
    TARGET(transform)(grid, x, scratch);
    long stop = root->first_child + root->children;
    for (long start = root->first_child, n; start < stop; start += n) {
        n = TARGET(alike)(plan, start, stop);
        for (long lane = 0; lane < LANES; lane++) {
            numbers[lane] = start + (lane < n ? lane : 0);
            psi[lane] = plan->filters + plan->path[numbers[lane]].psi;
            outs[lane] = lane < n ? out : NULL;
        }
        const Grid *coarse = plan->grid + plan->path[start].level;
        TARGET(filter_each)(grid, coarse, x, psi, y);
        TARGET(transform)(coarse, y, scratch);
        TARGET(modulus)(coarse->rows.length * coarse->columns.length, y);
        TARGET(descend)(plan, numbers, &power, y, scratch, outs);
    }
}

#endif

#undef FILTER
#undef SMALL_PASS
#undef INLINE
#undef Complex
#undef Vector
