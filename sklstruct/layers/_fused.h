/* Fused convolution with separable atoms, for one instruction set; see _fused.c.

   Values of a row lie place by place, the channels of a place side by side, and the lanes of a
   vector run over both.  Every sum has one order, whatever its neighbours are, so that a result
   depends neither on the batch nor on the number of threads. */

#define Vector TARGET(Vector)
#define Loose TARGET(Loose)
#define INLINE ATTRIBUTE static inline __attribute__((always_inline))
#define MOST_VECTORS (LANES == 16 ? 4 : 2) /* side by side: as many as leave registers free */

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE Vector TARGET(load)(const float *from) { return *(const Loose *)from; }
INLINE void TARGET(store)(float *to, Vector value) { *(Loose *)to = value; }

/* --- sums along an axis -------------------------------------------------------------------- */

/* At `vectors` vectors from value i on: out_j = sum over t of weight[j * step + t] source_t. */
INLINE void TARGET(some_sums)(int m, int vectors, long taps, const float *const *source,
                              const float *weight, long step, long i, float *const *out) {
    Vector sum[MOST_SUMS][MOST_VECTORS];
    for (int j = 0; j < m; j++)
        for (int v = 0; v < vectors; v++) sum[j][v] = (Vector){0};
    for (long t = 0; t < taps; t++) {
        const float *from = source[t] + i;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            Vector value = TARGET(load)(from + v * LANES);
#pragma GCC unroll 4
            for (int j = 0; j < m; j++) sum[j][v] += weight[j * step + t] * value;
        }
    }
#pragma GCC unroll 4
    for (int j = 0; j < m; j++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) TARGET(store)(out[j] + i + v * LANES, sum[j][v]);
}

INLINE void TARGET(m_sums)(int m, long taps, const float *const *source, const float *weight,
                           long step, long n, float *const *out) {
    long i = 0;
    for (; i + MOST_VECTORS * LANES <= n; i += MOST_VECTORS * LANES)
        TARGET(some_sums)(m, MOST_VECTORS, taps, source, weight, step, i, out);
    for (; i + LANES <= n; i += LANES)
        TARGET(some_sums)(m, 1, taps, source, weight, step, i, out);
    if (i < n && n >= LANES) { /* the last values, some of them for a second time */
        TARGET(some_sums)(m, 1, taps, source, weight, step, n - LANES, out);
        return;
    }
    for (; i + 4 <= n; i += 4) /* rows shorter than a vector */
        for (int j = 0; j < m; j++) {
            Quad sum = {0};
            for (long t = 0; t < taps; t++) sum += weight[j * step + t] * *(const Quad *)(source[t] + i);
            *(Quad *)(out[j] + i) = sum;
        }
    for (; i < n; i++)
        for (int j = 0; j < m; j++) {
            float sum = 0;
            for (long t = 0; t < taps; t++) sum += weight[j * step + t] * source[t][i];
            out[j][i] = sum;
        }
}

/* n values of m outputs: out_j = sum over t of weight[j * step + t] source_t. */
ATTRIBUTE static void TARGET(sums)(long m, long taps, const float *const *source,
                                   const float *weight, long step, long n, float *const *out) {
    for (long j = 0; j < m; j += MOST_SUMS, weight += MOST_SUMS * step, out += MOST_SUMS)
        switch (m - j) {
            case 1: TARGET(m_sums)(1, taps, source, weight, step, n, out); break;
            case 2: TARGET(m_sums)(2, taps, source, weight, step, n, out); break;
            case 3: TARGET(m_sums)(3, taps, source, weight, step, n, out); break;
            default: TARGET(m_sums)(MOST_SUMS, taps, source, weight, step, n, out);
        }
}

INLINE void TARGET(m_spread)(int m, const float *const *source, const float *weight, long step,
                             long taps, long n, float *const *out) {
    long i = 0;
    for (; i + LANES <= n; i += LANES) {
        Vector value[MOST_SUMS];
        for (int j = 0; j < m; j++) value[j] = TARGET(load)(source[j] + i);
        for (long t = 0; t < taps; t++) {
            Vector sum = TARGET(load)(out[t] + i);
#pragma GCC unroll 4
            for (int j = 0; j < m; j++) sum += weight[j * step + t] * value[j];
            TARGET(store)(out[t] + i, sum);
        }
    }
    for (; i + 4 <= n; i += 4)
        for (long t = 0; t < taps; t++) {
            Quad sum = *(const Quad *)(out[t] + i);
            for (int j = 0; j < m; j++) sum += weight[j * step + t] * *(const Quad *)(source[j] + i);
            *(Quad *)(out[t] + i) = sum;
        }
    for (; i < n; i++)
        for (long t = 0; t < taps; t++)
            for (int j = 0; j < m; j++) out[t][i] += weight[j * step + t] * source[j][i];
}

/* The transpose of sums, added: out_t += sum over j of weight[j * step + t] source_j. */
ATTRIBUTE static void TARGET(spread)(long m, const float *const *source, const float *weight,
                                     long step, long taps, long n, float *const *out) {
    for (long j = 0; j < m; j += MOST_SUMS, weight += MOST_SUMS * step, source += MOST_SUMS)
        switch (m - j) {
            case 1: TARGET(m_spread)(1, source, weight, step, taps, n, out); break;
            case 2: TARGET(m_spread)(2, source, weight, step, taps, n, out); break;
            case 3: TARGET(m_spread)(3, source, weight, step, taps, n, out); break;
            default: TARGET(m_spread)(MOST_SUMS, source, weight, step, taps, n, out);
        }
}

/* --- products of matrices ------------------------------------------------------------------ */

/* rows x (vectors * LANES) values of a product, see multiply. */
INLINE void TARGET(tile)(int rows, int vectors, const Product *p, const float *const *a,
                         const float *b, float *const *c, long width) {
    Vector sum[MOST_ROWS][MOST_VECTORS];
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = (Vector){0};
    for (long k = 0; k < p->outer; k++)
        for (long l = 0; l < p->inner; l++, b += p->b_step) {
            long place = k * p->outer_step + l * p->inner_step;
            Vector right[MOST_VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) right[v] = TARGET(load)(b + v * LANES);
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                float left = a[i][place];
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) sum[i][v] += left * right[v];
            }
        }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            long left = width - v * LANES;
            float *to = c[i] + v * LANES;
            Vector value = p->add ? TARGET(load)(to) + sum[i][v] : sum[i][v];
            if (left >= LANES)
                TARGET(store)(to, value);
            else
                memcpy(to, &value, sizeof(float) * (left > 0 ? left : 0));
        }
}

INLINE void TARGET(panel)(int rows, int vectors, const Product *p, long column, long width) {
    float trash[MOST_VECTORS * LANES] = {0};
    for (long row = 0; row < p->rows; row += rows) {
        const float *a[MOST_ROWS];
        float *c[MOST_ROWS];
        for (int i = 0; i < rows; i++) { /* rows that are too many repeat the last one */
            long number = row + i < p->rows ? row + i : p->rows - 1;
            a[i] = p->a + number / p->period * p->period_step + number % p->period * p->row_step;
            c[i] = row + i < p->rows ? p->c + number * p->c_step + column : trash;
        }
        TARGET(tile)(rows, vectors, p, a, p->b + column, c, width);
    }
}

/* The product c = a b, or c += a b, of a matrix whose values lie where Product says, and one
   whose rows are padded to whole vectors. */
ATTRIBUTE static void TARGET(multiply)(const Product *p) {
    for (long column = 0, left; column < p->columns; column += left) {
        left = p->columns - column;
        long vectors = (left + LANES - 1) / LANES;
        if (vectors > MOST_VECTORS) vectors = MOST_VECTORS, left = MOST_VECTORS * LANES;
        switch (vectors) {
#if LANES == 16
            case 4: TARGET(panel)(6, 4, p, column, left); break;
            case 3: TARGET(panel)(8, 3, p, column, left); break;
            case 2: TARGET(panel)(12, 2, p, column, left); break;
#else
            case 2: TARGET(panel)(6, 2, p, column, left); break;
#endif
            default: TARGET(panel)(12, 1, p, column, left);
        }
    }
}

/* --- responses ----------------------------------------------------------------------------- */

/* Filter a plane of a sample along the first axis: one plane for each node. */
ATTRIBUTE static void TARGET(filter_planes)(const Plan *plan, const Space *space, const float *x,
                                            long place) {
    const Axis *axis = plan->axis;
    const float *source[MOST_TAPS];
    Window seen = window(axis, place);
    long size = plan->axis[1].in * plan->row;
    for (long t = 0; t < seen.taps; t++) source[t] = x + (seen.first + t) * size;
    TARGET(sums)(axis->nodes, seen.taps, source, seen.weight, axis->node_step, size,
                 space->planes);
}

/* Filter rows of planes along the second axis, into rows between zeros. */
ATTRIBUTE static void TARGET(filter_rows)(const Plan *plan, const Space *space,
                                          const float *const *planes, long place) {
    const Axis *axis = plan->axis + 1;
    const float *source[MOST_TAPS];
    Window seen = window(axis, place);
    long c = plan->channels, n = plan->phases == 1 ? plan->seen * c : plan->row;
    for (long node = 0, next; node < axis->nodes; node = next) {
        next = next_family(axis, node);
        const float *plane = planes[axis->parent[node]];
        for (long t = 0; t < seen.taps; t++) source[t] = plane + (seen.first + t) * plan->row;
        TARGET(sums)(next - node, seen.taps, source, seen.weight + node * axis->node_step,
                     axis->node_step, n, space->lines + node);
    }
    if (plan->phases == 1) return; /* lines are the insides of the rows */
    for (long node = 0; node < axis->nodes; node++)
        for (long w = 0; w < plan->seen; w++)
            memcpy(space->rows[node] + phase(plan, w + plan->axis[2].before),
                   space->lines[node] + w * c, sizeof(float) * c);
}

/* Filter rows along the last axis: the responses of one row, of all leaves. */
ATTRIBUTE static void TARGET(filter_leaves)(const Plan *plan, const Space *space, long number) {
    const Axis *axis = plan->axis + 2;
    const float *source[MOST_TAPS];
    float **out = space->outs;
    long c = plan->channels, n = axis->out * c, at_once = axis->place_step ? c : n;
    for (long leaf = 0, next; leaf < axis->nodes; leaf = next) {
        next = next_family(axis, leaf);
        for (long t = 0; t < axis->taps; t++)
            source[t] = space->rows[axis->parent[leaf]] + phase(plan, t);
        const float *weight = axis->profile + leaf * axis->node_step;
        for (long start = 0; start < n; start += at_once, weight += axis->place_step) {
            for (long one = leaf; one < next; one++)
                out[one] = space->responses + (one * plan->block + number) * n + start;
            TARGET(sums)(next - leaf, axis->taps, source, weight, axis->node_step, at_once,
                         out + leaf);
        }
    }
}

/* Responses of `count` rows from `first` on, of planes that are filtered. */
ATTRIBUTE static void TARGET(respond)(const Plan *plan, const Space *space,
                                      const float *const *planes, long first, long count) {
    for (long number = 0; number < count; number++) {
        TARGET(filter_rows)(plan, space, planes, first + number);
        TARGET(filter_leaves)(plan, space, number);
    }
}

/* The planes of a sample that the rows at a place of the first axis are filtered from. */
ATTRIBUTE static const float *const *TARGET(planes_at)(const Plan *plan, const Space *space,
                                                       const float *const *sample, long place) {
    if (plan->plane_is_x) return sample;
    TARGET(filter_planes)(plan, space, *sample, place);
    return (const float *const *)space->planes;
}

/* --- steering ------------------------------------------------------------------------------ */

/* Sums over the entries of a mixture, at one place and for the channels of a vector, or, as a
   vector may be too long, for one.  `by_channel` is a constant wherever this is called. */
#define SUM_ENTRIES(Kind, get, put)                                                  \
    do {                                                                             \
        Kind sum = {0};                                                              \
        for (long e = 0; e < entries; e++) {                                         \
            Kind value = get(from + step[e].from);                                   \
            if (by_channel)                                                          \
                sum += step[e].weight * value * get(factor + step[e].number);        \
            else                                                                     \
                sum += step[e].weight * factor[step[e].number] * value;              \
            if (e + 1 < entries && step[e + 1].to == step[e].to) continue;           \
            put(to + step[e].to, sum);                                               \
            sum = (Kind){0};                                                         \
        }                                                                            \
    } while (0)
#define GET(from) (*(from))
#define PUT(to, value) (*(to) = (value))

INLINE void TARGET(sum_entries)(int by_channel, const Step *step, long entries, long c,
                                const float *from, const float *factor, float *to) {
    long i = 0;
    for (; i + LANES <= c; i += LANES, from += LANES, to += LANES) {
        SUM_ENTRIES(Vector, TARGET(load), TARGET(store));
        if (by_channel) factor += LANES;
    }
    for (; i < c; i++, from++, to++) {
        SUM_ENTRIES(float, GET, PUT);
        if (by_channel) factor++;
    }
}

#undef SUM_ENTRIES
#undef GET
#undef PUT

/* The part of the table from a place on. */
INLINE const float *TARGET(table_at)(const Plan *plan, const float *table, long place) {
    return table + place * plan->numbers * plan->groups_of_numbers;
}

/* Sum the responses at n places with the coefficients of the table. */
ATTRIBUTE static void TARGET(steer)(const Plan *plan, const Space *space, const float *table,
                                    long n) {
    Step step[MOST_ENTRIES];
    long c = plan->channels, size = plan->block * plan->axis[2].out * c;
    long across = plan->numbers * plan->groups_of_numbers;
    read_steps(plan, plan->forward, size, size, step);
    for (long place = 0; place < n; place++, table += across) {
        const float *from = space->responses + place * c;
        float *to = space->steered + place * c;
        if (plan->groups_of_numbers > 1)
            TARGET(sum_entries)(1, step, plan->entries, c, from, table, to);
        else
            TARGET(sum_entries)(0, step, plan->entries, c, from, table, to);
    }
}

/* The transpose: gradients of responses from those of the sums. */
ATTRIBUTE static void TARGET(unsteer)(const Plan *plan, const Space *space, const float *table,
                                      long n) {
    Step step[MOST_ENTRIES];
    long c = plan->channels, size = plan->axis[2].nodes * c;
    long across = plan->numbers * plan->groups_of_numbers;
    read_steps(plan, plan->backward, c, c, step);
    if (!plan->uses_all) memset(space->unsteered, 0, sizeof(float) * n * size);
    for (long place = 0; place < n; place++, table += across) {
        const float *from = space->mixed + place * plan->mixed_padded;
        float *to = space->unsteered + place * size;
        if (plan->groups_of_numbers > 1)
            TARGET(sum_entries)(1, step, plan->entries, c, from, table, to);
        else
            TARGET(sum_entries)(0, step, plan->entries, c, from, table, to);
    }
}

/* The gradient of the table at n places. */
ATTRIBUTE static void TARGET(differentiate_table)(const Plan *plan, const Space *space,
                                                  float *gradient, long n) {
    Step step[MOST_ENTRIES];
    long c = plan->channels, size = plan->block * plan->axis[2].out * c;
    long by_channel = plan->groups_of_numbers > 1, across = plan->numbers * plan->groups_of_numbers;
    read_steps(plan, plan->forward, size, c, step);
    memset(gradient, 0, sizeof(float) * n * across);
    for (long place = 0; place < n; place++, gradient += across) {
        const float *mixed = space->mixed + place * plan->mixed_padded;
        const float *responses = space->responses + place * c;
        Vector sum[MOST_NUMBERS];
        for (long k = 0; !by_channel && k < plan->numbers; k++) sum[k] = (Vector){0};
        for (long e = 0; e < plan->entries; e++) {
            const float *above = mixed + step[e].to, *from = responses + step[e].from;
            float *to = gradient + step[e].number;
            long i = 0;
            for (; i + LANES <= c; i += LANES) {
                Vector product = step[e].weight * TARGET(load)(above + i) * TARGET(load)(from + i);
                if (by_channel)
                    TARGET(store)(to + i, TARGET(load)(to + i) + product);
                else
                    sum[step[e].number] += product;
            }
            for (; i < c; i++) to[by_channel ? i : 0] += step[e].weight * above[i] * from[i];
        }
        for (long k = 0; !by_channel && k < plan->numbers; k++) {
            Quad four = {0};
            for (long lane = 0; lane < LANES; lane += 4) four += ((const Quad *)&sum[k])[lane / 4];
            gradient[k] += (four[0] + four[1]) + (four[2] + four[3]);
        }
    }
}

/* --- the convolution ----------------------------------------------------------------------- */

/* Mix the responses, or what they were steered to, at n places. */
INLINE void TARGET(mix)(const Plan *plan, const Call *call, const Space *space, long n, float *y) {
    Product product = {
        .rows = n, .columns = plan->outs,
        .a = plan->entries ? space->steered : space->responses,
        .period = n, .row_step = plan->channels,
        .outer = plan->mixed, .outer_step = plan->block * plan->axis[2].out * plan->channels,
        .inner = plan->channels, .inner_step = 1,
        .b = call->mixing, .b_step = plan->outs_padded,
        .c = y, .c_step = plan->outs,
    };
    TARGET(multiply)(&product);
}

/* One task of the convolution: some rows of an image, or a plane of a volume. */
ATTRIBUTE static void TARGET(convolve)(const Plan *plan, const Call *call, const Space *space,
                                       long task) {
    long sample = task / plan->tasks, part = task % plan->tasks, rows = plan->axis[1].out;
    long planes = plan->axis[0].out, depth = planes > 1 ? part : 0;
    long places = plan->axis[2].out, row = planes > 1 ? 0 : part * plan->block;
    long stop = planes > 1 || row + plan->block > rows ? rows : row + plan->block;
    const float *x = call->x + sample * plan->sample;
    const float *const *from = TARGET(planes_at)(plan, space, &x, depth);
    for (; row < stop; row += plan->block) {
        long count = row + plan->block < stop ? plan->block : stop - row;
        long at = ((sample * planes + depth) * rows + row) * places;
        TARGET(respond)(plan, space, from, row, count);
        if (plan->entries)
            TARGET(steer)(plan, space, TARGET(table_at)(plan, call->table, at), count * places);
        TARGET(mix)(plan, call, space, count * places, call->y + at * plan->outs);
    }
}

/* --- gradients ----------------------------------------------------------------------------- */

/* The gradients of the responses at a place, of all leaves. */
INLINE const float *TARGET(gradients)(const Plan *plan, const Space *space, long place) {
    if (plan->entries) return space->unsteered + place * plan->axis[2].nodes * plan->channels;
    return space->mixed + place * plan->mixed_padded;
}

/* Gather the gradient of the row of a node from those of its leaves, which lie between zeros. */
ATTRIBUTE static void TARGET(unfilter_leaves)(const Plan *plan, const Space *space, long node,
                                              long leaf, long next) {
    const Axis *axis = plan->axis + 2;
    long phases = plan->phases, most = (axis->taps + phases - 1) / phases, c = plan->channels;
    long padded = axis->out + 2 * (most - 1);
    for (long q = 0; q < phases; q++) {
        long n = 0;
        for (long one = leaf; one < next; one++)
            for (long t = q; t < axis->taps; t += phases, n++) {
                space->sources[n] = space->leaves + (one * padded + most - 1 - t / phases) * c;
                space->weights[n] = axis->profile[one * axis->taps + t];
            }
        float *out = space->rows[node] + q * plan->phase * c;
        TARGET(sums)(1, n, space->sources, space->weights, n, plan->phase * c, &out);
    }
    for (long w = 0; phases > 1 && w < plan->seen; w++)
        memcpy(space->lines[node] + w * c, space->rows[node] + phase(plan, w + axis->before),
               sizeof(float) * c);
}

/* The same where leaves have matrices. */
ATTRIBUTE static void TARGET(untransform_leaves)(const Plan *plan, const Space *space, long number,
                                                 long node, long leaf, long next) {
    const Axis *axis = plan->axis + 2;
    long c = plan->channels;
    float *out[MOST_TAPS];
    for (long t = 0; t < axis->taps; t++) out[t] = space->rows[node] + t * c;
    memset(out[0], 0, sizeof(float) * axis->taps * c);
    for (long w = 0; w < axis->out; w++) {
        const float *from = TARGET(gradients)(plan, space, number * axis->out + w);
        for (long one = leaf; one < next; one++) space->sources[one - leaf] = from + one * c;
        TARGET(spread)(next - leaf, space->sources,
                       axis->profile + leaf * axis->node_step + w * axis->place_step,
                       axis->node_step, axis->taps, c, out);
    }
}

/* What one row of the gradients of the responses adds to those of planes. */
ATTRIBUTE static void TARGET(unfilter)(const Plan *plan, const Space *space, long number,
                                       float *const *planes, long place) {
    const Axis *axis = plan->axis + 1, *last = plan->axis + 2;
    long most = (last->taps + plan->phases - 1) / plan->phases, c = plan->channels;
    long padded = last->out + 2 * (most - 1);
    for (long leaf = 0; !last->place_step && leaf < last->nodes; leaf++) { /* between zeros */
        float *to = space->leaves + (leaf * padded + most - 1) * c;
        for (long w = 0; w < last->out; w++, to += c)
            memcpy(to, TARGET(gradients)(plan, space, number * last->out + w) + leaf * c,
                   sizeof(float) * c);
    }
    for (long node = 0, leaf = 0, next; node < axis->nodes; node++, leaf = next) {
        for (next = leaf; next < last->nodes && last->parent[next] == node;) next++;
        if (last->place_step)
            TARGET(untransform_leaves)(plan, space, number, node, leaf, next);
        else
            TARGET(unfilter_leaves)(plan, space, node, leaf, next);
    }
    float *out[MOST_TAPS];
    Window seen = window(axis, place);
    for (long node = 0, next; node < axis->nodes; node = next) {
        next = next_family(axis, node);
        for (long t = 0; t < seen.taps; t++)
            out[t] = planes[axis->parent[node]] + (seen.first + t) * plan->row;
        TARGET(spread)(next - node, (const float *const *)space->lines + node,
                       seen.weight + node * axis->node_step, axis->node_step, seen.taps,
                       plan->seen * c, out);
    }
}

/* What planes of gradients add to that of a sample. */
ATTRIBUTE static void TARGET(unfilter_planes)(const Plan *plan, const Space *space, float *x,
                                              long place) {
    const Axis *axis = plan->axis;
    float *out[MOST_TAPS];
    Window seen = window(axis, place);
    long size = plan->axis[1].in * plan->row;
    for (long t = 0; t < seen.taps; t++) out[t] = x + (seen.first + t) * size;
    TARGET(spread)(axis->nodes, (const float *const *)space->planes, seen.weight,
                   axis->node_step, seen.taps, size, out);
}

/* The gradients of a sample and its table, or, added to `mixing`, that of the mixing. */
ATTRIBUTE static void TARGET(differentiate_sample)(const Plan *plan, const Call *call,
                                                   const Space *space, long sample,
                                                   float *mixing) {
    long rows = plan->axis[1].out, planes = plan->axis[0].out, places = plan->axis[2].out;
    long c = plan->channels;
    const float *x = call->x + sample * plan->sample;
    float *gradient = call->x_gradient ? call->x_gradient + sample * plan->sample : NULL;
    if (gradient) memset(gradient, 0, sizeof(float) * plan->sample);
    for (long depth = 0; depth < planes; depth++) {
        const float *const *from = NULL;
        float *const *to = plan->plane_is_x ? &gradient : space->planes;
        if (mixing || call->table_gradient) from = TARGET(planes_at)(plan, space, &x, depth);
        if (gradient && !plan->plane_is_x)
            for (long node = 0; node < plan->axis[0].nodes; node++)
                memset(to[node], 0, sizeof(float) * plan->axis[1].in * plan->row);
        for (long row = 0; row < rows; row += plan->block) {
            long count = row + plan->block < rows ? plan->block : rows - row, n = count * places;
            long at = ((sample * planes + depth) * rows + row) * places;
            const float *y = call->y + at * plan->outs;
            const float *table = TARGET(table_at)(plan, call->table, at);
            if (plan->outs != plan->outs_padded) { /* whole vectors, the last one with zeros */
                for (long i = 0; i < n; i++)
                    memcpy(space->above + i * plan->outs_padded, y + i * plan->outs,
                           sizeof(float) * plan->outs);
                y = space->above;
            }
            if (from && gradient) clear_rows(plan, space);
            if (from) TARGET(respond)(plan, space, from, row, count);
            if (mixing) {
                if (plan->entries) TARGET(steer)(plan, space, table, n);
                Product product = {
                    .rows = plan->mixed * c, .columns = plan->outs_padded, .add = 1,
                    .a = plan->entries ? space->steered : space->responses, .period = c, .row_step = 1,
                    .period_step = plan->block * places * c,
                    .outer = 1, .inner = n, .inner_step = c,
                    .b = y, .b_step = plan->outs_padded,
                    .c = mixing, .c_step = plan->outs_padded,
                };
                TARGET(multiply)(&product);
                if (call->mixed) TARGET(mix)(plan, call, space, n, call->mixed + at * plan->outs);
                continue;
            }
            Product product = {
                .rows = n, .columns = plan->mixed_padded,
                .a = y, .period = n, .row_step = plan->outs_padded,
                .outer = 1, .inner = plan->outs, .inner_step = 1,
                .b = call->mixing, .b_step = plan->mixed_padded,
                .c = space->mixed, .c_step = plan->mixed_padded,
            };
            TARGET(multiply)(&product);
            if (call->table_gradient)
                TARGET(differentiate_table)
                (plan, space, (float *)TARGET(table_at)(plan, call->table_gradient, at), n);
            if (!gradient) continue;
            if (plan->entries) TARGET(unsteer)(plan, space, table, n);
            for (long number = 0; number < count; number++)
                TARGET(unfilter)(plan, space, number, to, row + number);
        }
        if (gradient && !plan->plane_is_x)
            TARGET(unfilter_planes)(plan, space, gradient, depth);
    }
}

#undef INLINE
#undef MOST_VECTORS
#undef Loose
#undef Vector
