//! Positions of the nodes of an undirected graph, for drawing.
//!
//! Sources: Brandes & Pich, *Eigensolver Methods for Progressive Multidimensional Scaling of Large Data* (pivot MDS), 2006,
//! for the start; Fruchterman & Reingold, *Graph Drawing by Force-directed Placement*, 1991, for the forces; Barnes & Hut,
//! *A hierarchical O(N log N) force-calculation algorithm*, 1986, for the repulsion.
//! Invariant: equal graphs get equal positions. The cost is O(n log n) per round, with a fixed number of rounds.

/// Nodes that measure the distances of all others at the start.
const PIVOTS: usize = 40;
/// Rounds of forces.
const ROUNDS: usize = 160;
/// Width of a cell over its distance below which the cell repels as one body, squared.
const OPENING_SQUARED: f64 = 0.81;
/// Depth of the tree of cells; nodes that are closer share a cell.
const DEPTH_MAX: usize = 40;
/// Pull towards the centre, which keeps unconnected parts together.
const GRAVITY: f64 = 0.06;

/// Position of each node, with coordinates in [-1, 1] and the centre of gravity near the origin. Edges that name a node
/// beyond `nodes`, and loops, are ignored.
#[must_use]
pub fn positions(nodes: usize, edges: &[(u32, u32)]) -> Vec<(f32, f32)> {
    if nodes < 2 {
        return vec![(0.0, 0.0); nodes];
    }
    let edges: Vec<(usize, usize)> = edges
        .iter()
        .map(|(a, b)| (*a as usize, *b as usize))
        .filter(|(a, b)| a != b && *a < nodes && *b < nodes)
        .collect();
    let mut at = start(nodes, &edges);
    surround(&mut at, &edges);
    // With an ideal edge of length 1, the drawing is about as wide as the root of the number of nodes.
    let width = (nodes as f64).sqrt();
    for round in 0..ROUNDS {
        let left = 1.0 - round as f64 / ROUNDS as f64;
        step(&mut at, &edges, 0.02 + 0.12 * width * left * left);
    }
    let mean = mean(&at);
    let reach =
        at.iter().flat_map(|p| [(p[0] - mean[0]).abs(), (p[1] - mean[1]).abs()]).fold(f64::MIN_POSITIVE, f64::max);
    at.iter().map(|p| (((p[0] - mean[0]) / reach) as f32, ((p[1] - mean[1]) / reach) as f32)).collect()
}

fn mean(at: &[[f64; 2]]) -> [f64; 2] {
    let sum = at.iter().fold([0.0, 0.0], |sum, p| [sum[0] + p[0], sum[1] + p[1]]);
    [sum[0] / at.len() as f64, sum[1] / at.len() as f64]
}

/// Pivot MDS: the two strongest axes of the doubly centred squared distances to some nodes.
fn start(nodes: usize, edges: &[(usize, usize)]) -> Vec<[f64; 2]> {
    let distances = pivot_distances(nodes, edges);
    let pivots = distances.len();
    let square = |pivot: usize, node: usize| f64::from(distances[pivot][node]).powi(2);
    let by_pivot: Vec<f64> =
        (0..pivots).map(|pivot| (0..nodes).map(|node| square(pivot, node)).sum::<f64>() / nodes as f64).collect();
    let total = by_pivot.iter().sum::<f64>() / pivots as f64;
    let rows: Vec<Vec<f64>> = (0..nodes)
        .map(|node| {
            let own = (0..pivots).map(|pivot| square(pivot, node)).sum::<f64>() / pivots as f64;
            (0..pivots).map(|pivot| -0.5 * (square(pivot, node) - own - by_pivot[pivot] + total)).collect()
        })
        .collect();
    let mut products = vec![vec![0.0; pivots]; pivots];
    for row in &rows {
        for (one, line) in products.iter_mut().enumerate() {
            for (other, product) in line.iter_mut().enumerate() {
                *product += row[one] * row[other];
            }
        }
    }
    let first = strongest_axis(&products, None);
    let second = strongest_axis(&products, Some(&first));
    let along = |row: &[f64], axis: &[f64]| row.iter().zip(axis).map(|(a, b)| a * b).sum::<f64>();
    let mut at: Vec<[f64; 2]> = rows.iter().map(|row| [along(row, &first), along(row, &second)]).collect();
    // Scaled to the expected width. Nodes with equal distances are moved apart, since equal positions have no direction of
    // repulsion.
    let spread = at.iter().map(|p| p[0] * p[0] + p[1] * p[1]).sum::<f64>() / nodes as f64;
    let scale = (nodes as f64).sqrt() * 0.4 / spread.sqrt().max(1e-9);
    for (number, p) in at.iter_mut().enumerate() {
        let [x, y] = apart(number);
        *p = [p[0] * scale + 0.3 * x, p[1] * scale + 0.3 * y];
    }
    at
}

/// Moves all parts but the largest around it, each in another direction: their distance to it is undefined.
fn surround(at: &mut [[f64; 2]], edges: &[(usize, usize)]) {
    let parts = parts(at.len(), edges);
    let count = parts.iter().max().map_or(0, |last| last + 1);
    let mut sums = vec![([0.0_f64; 2], 0.0_f64); count];
    for (part, p) in parts.iter().zip(at.iter()) {
        let (sum, size) = sums[*part];
        sums[*part] = ([sum[0] + p[0], sum[1] + p[1]], size + 1.0);
    }
    let largest = (0..count).max_by(|a, b| sums[*a].1.total_cmp(&sums[*b].1).then(b.cmp(a))).unwrap_or_default();
    let width = (at.len() as f64).sqrt();
    for (part, p) in parts.iter().zip(at.iter_mut()) {
        let (sum, size) = sums[*part];
        let centre = [sum[0] / size, sum[1] / size];
        let [x, y] = apart(*part);
        let length = (x * x + y * y).sqrt().max(1e-9);
        let reach = if *part == largest { 0.0 } else { 0.7 * width / length };
        *p = [p[0] - centre[0] + reach * x, p[1] - centre[1] + reach * y];
    }
}

/// Number of the connected part of each node; parts are numbered in the order of their first nodes.
fn parts(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut neighbours = vec![Vec::new(); nodes];
    for (a, b) in edges {
        neighbours[*a].push(*b);
        neighbours[*b].push(*a);
    }
    let mut parts = vec![usize::MAX; nodes];
    let mut count = 0;
    for node in 0..nodes {
        if parts[node] != usize::MAX {
            continue;
        }
        parts[node] = count;
        let mut open = vec![node];
        while let Some(next) = open.pop() {
            for other in &neighbours[next] {
                if parts[*other] == usize::MAX {
                    parts[*other] = count;
                    open.push(*other);
                }
            }
        }
        count += 1;
    }
    parts
}

/// A point of a low-discrepancy sequence in the square around the origin (Roberts, 2018).
fn apart(number: usize) -> [f64; 2] {
    let turn = number as f64 + 1.0;
    [(turn * 0.754_877_666_246_693).fract() - 0.5, (turn * 0.569_840_290_998_053).fract() - 0.5]
}

/// Number of edges from each of some nodes to all nodes. Each further pivot is the node farthest from the pivots so far.
fn pivot_distances(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<u32>> {
    let mut neighbours = vec![Vec::new(); nodes];
    for (a, b) in edges {
        neighbours[*a].push(*b);
        neighbours[*b].push(*a);
    }
    let mut nearest = vec![u32::MAX; nodes];
    let mut all = Vec::new();
    let mut pivot = 0;
    for _ in 0..PIVOTS.min(nodes) {
        let mut found = vec![u32::MAX; nodes];
        found[pivot] = 0;
        let mut reached = vec![pivot];
        let mut next = 0;
        while let Some(node) = reached.get(next).copied() {
            next += 1;
            for other in &neighbours[node] {
                if found[*other] == u32::MAX {
                    found[*other] = found[node] + 1;
                    reached.push(*other);
                }
            }
        }
        // An unconnected part is drawn beyond the farthest node.
        let beyond = reached.last().map_or(0, |last| found[*last]) + 2;
        found.iter_mut().for_each(|distance| *distance = (*distance).min(beyond));
        nearest.iter_mut().zip(&found).for_each(|(nearest, distance)| *nearest = (*nearest).min(*distance));
        all.push(found);
        pivot = (0..nodes).max_by_key(|node| (nearest[*node], std::cmp::Reverse(*node))).unwrap_or_default();
    }
    all
}

/// The eigenvector of the largest eigenvalue, orthogonal to another one, by power iteration.
fn strongest_axis(products: &[Vec<f64>], other: Option<&[f64]>) -> Vec<f64> {
    let size = products.len();
    let mut axis: Vec<f64> = (0..size).map(|n| 1.0 + ((n as f64 + 1.0) * 0.618_033_988_749_895).fract()).collect();
    for _ in 0..100 {
        let mut next: Vec<f64> =
            products.iter().map(|line| line.iter().zip(&axis).map(|(a, b)| a * b).sum::<f64>()).collect();
        if let Some(other) = other {
            let part: f64 = next.iter().zip(other).map(|(a, b)| a * b).sum();
            next.iter_mut().zip(other).for_each(|(value, along)| *value -= part * along);
        }
        let length = next.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length < 1e-12 {
            return vec![0.0; size];
        }
        next.iter_mut().for_each(|value| *value /= length);
        axis = next;
    }
    axis
}

/// Moves all nodes along their forces, each by at most `reach`.
fn step(at: &mut [[f64; 2]], edges: &[(usize, usize)], reach: f64) {
    let cells = Cells::new(at);
    let mut forces: Vec<[f64; 2]> = at.iter().map(|p| cells.repulsion(*p)).collect();
    for (a, b) in edges {
        let (dx, dy) = (at[*b][0] - at[*a][0], at[*b][1] - at[*a][1]);
        let pull = (dx * dx + dy * dy).sqrt();
        let (px, py) = (dx * pull, dy * pull);
        forces[*a] = [forces[*a][0] + px, forces[*a][1] + py];
        forces[*b] = [forces[*b][0] - px, forces[*b][1] - py];
    }
    for (p, force) in at.iter_mut().zip(forces) {
        let force = [force[0] - GRAVITY * p[0], force[1] - GRAVITY * p[1]];
        let size = (force[0] * force[0] + force[1] * force[1]).sqrt();
        let share = if size > reach { reach / size } else { 1.0 };
        *p = [p[0] + force[0] * share, p[1] + force[1] * share];
    }
}

/// A square with the nodes in it, as one body.
#[derive(Clone, Copy)]
struct Cell {
    /// Sum of the positions of its nodes.
    sum: [f64; 2],
    count: f64,
    width: f64,
    /// Indices of the four quarters; 0 where there is none.
    quarters: [u32; 4],
}

/// A quadtree of nodes.
struct Cells(Vec<Cell>);

impl Cells {
    fn new(at: &[[f64; 2]]) -> Cells {
        let low = at.iter().fold([f64::INFINITY; 2], |low, p| [low[0].min(p[0]), low[1].min(p[1])]);
        let high = at.iter().fold([f64::NEG_INFINITY; 2], |high, p| [high[0].max(p[0]), high[1].max(p[1])]);
        let width = (high[0] - low[0]).max(high[1] - low[1]).max(1e-9);
        let mut cells = Cells(vec![Cell { sum: [0.0; 2], count: 0.0, width, quarters: [0; 4] }]);
        for p in at {
            let (mut cell, mut corner) = (0, low);
            for _ in 0..DEPTH_MAX {
                let Cell { sum, count, .. } = cells.0[cell];
                cells.0[cell].sum = [sum[0] + p[0], sum[1] + p[1]];
                cells.0[cell].count += 1.0;
                if count == 0.0 {
                    break;
                }
                if count == 1.0 {
                    // The only node so far moves into its quarter.
                    let (quarter, _) = cells.quarter(cell, corner, sum);
                    cells.0[quarter].sum = sum;
                    cells.0[quarter].count = 1.0;
                }
                (cell, corner) = cells.quarter(cell, corner, *p);
            }
        }
        cells
    }

    /// Index and low corner of the quarter of a cell that contains a position; made where there is none.
    fn quarter(&mut self, cell: usize, corner: [f64; 2], p: [f64; 2]) -> (usize, [f64; 2]) {
        let half = self.0[cell].width / 2.0;
        let beyond = [p[0] >= corner[0] + half, p[1] >= corner[1] + half];
        let index = usize::from(beyond[0]) + 2 * usize::from(beyond[1]);
        if self.0[cell].quarters[index] == 0 {
            self.0[cell].quarters[index] = self.0.len() as u32;
            self.0.push(Cell { sum: [0.0; 2], count: 0.0, width: half, quarters: [0; 4] });
        }
        let shift = |axis: usize| corner[axis] + if beyond[axis] { half } else { 0.0 };
        (self.0[cell].quarters[index] as usize, [shift(0), shift(1)])
    }

    /// Sum of the repulsions `1 / distance` of all nodes at a position. A node does not repel itself.
    fn repulsion(&self, p: [f64; 2]) -> [f64; 2] {
        let mut force = [0.0; 2];
        let mut open = vec![0_usize];
        while let Some(cell) = open.pop() {
            let Cell { sum, count, width, quarters } = self.0[cell];
            let (dx, dy) = (p[0] - sum[0] / count, p[1] - sum[1] / count);
            let square = dx * dx + dy * dy;
            let is_leaf = quarters == [0; 4];
            if is_leaf || width * width < OPENING_SQUARED * square {
                if square > 1e-12 {
                    force = [force[0] + count * dx / square, force[1] + count * dy / square];
                }
                continue;
            }
            open.extend(quarters.iter().filter(|quarter| **quarter != 0).map(|quarter| *quarter as usize));
        }
        force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(nodes: u32, reach: u32) -> Vec<(u32, u32)> {
        (0..nodes).flat_map(|n| (1..=reach).map(move |step| (n, (n + step) % nodes))).collect()
    }

    fn distance(a: (f32, f32), b: (f32, f32)) -> f32 {
        (a.0 - b.0).hypot(a.1 - b.1)
    }

    #[test]
    fn equal_graphs_get_equal_positions_within_the_frame() {
        for (nodes, edges) in [(0, vec![]), (1, vec![]), (2, vec![(0, 1)]), (7, vec![]), (300, ring(300, 3))] {
            let at = positions(nodes, &edges);
            assert_eq!(at, positions(nodes, &edges));
            assert_eq!(at.len(), nodes);
            assert!(at.iter().all(|p| p.0.abs() <= 1.0 && p.1.abs() <= 1.0), "{nodes}");
        }
    }

    #[test]
    fn neighbours_are_near_and_no_two_nodes_lie_on_one_spot() {
        let edges = ring(200, 2);
        let at = positions(200, &edges);
        let along: f32 = edges.iter().map(|(a, b)| distance(at[*a as usize], at[*b as usize])).sum::<f32>() / 400.0;
        let across: f32 = (0..200).map(|n| distance(at[n], at[(n + 100) % 200])).sum::<f32>() / 200.0;
        assert!(along < 0.15 && across > 1.0, "neighbours {along}, opposite nodes {across}");
        for one in 0..200 {
            assert!((0..one).all(|other| distance(at[one], at[other]) > 1e-3), "{one}");
        }
    }

    #[test]
    fn a_ring_of_few_edges_is_drawn_as_a_circle() {
        let at = positions(60, &ring(60, 1));
        let radii: Vec<f32> = at.iter().map(|p| p.0.hypot(p.1)).collect();
        let (low, high) = radii.iter().fold((9.0_f32, 0.0_f32), |(low, high), r| (low.min(*r), high.max(*r)));
        assert!(low > 0.7 * high, "{low} to {high}");
    }

    #[test]
    fn unconnected_parts_are_drawn_apart() {
        let mut edges = ring(30, 3);
        edges.extend(ring(30, 3).iter().map(|(a, b)| (a + 30, b + 30)));
        let at = positions(60, &edges);
        let centre = |part: &[(f32, f32)]| {
            let sum = part.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (sum.0 / part.len() as f32, sum.1 / part.len() as f32)
        };
        assert!(distance(centre(&at[..30]), centre(&at[30..])) > 0.5);
    }

    #[test]
    fn small_parts_lie_on_all_sides_of_the_largest() {
        let mut edges = ring(100, 3);
        edges.extend((0..20).map(|n| (100 + 2 * n, 101 + 2 * n)));
        let at = positions(140, &edges);
        for side in [|p: &(f32, f32)| p.0, |p: &(f32, f32)| -p.0, |p: &(f32, f32)| p.1, |p: &(f32, f32)| -p.1] {
            assert!(at[100..].iter().any(|p| side(p) > 0.5));
        }
    }

    #[test]
    fn edges_beyond_the_nodes_are_ignored() {
        assert_eq!(positions(3, &[(0, 1), (7, 1), (2, 2)]), positions(3, &[(0, 1)]));
    }
}
