//! What of lines and areas is inside a rectangle. Where an axis has a fixed range, the rest is cut off.

use super::canvas::Point;

/// Left, upper, right and lower end.
pub(super) type Bounds = [f64; 4];

pub(super) fn inside(bounds: Bounds, (x, y): Point) -> bool {
    // A mark on the frame is wanted whatever the last bit says.
    let near = 1e-6;
    (bounds[0] - near..=bounds[2] + near).contains(&x) && (bounds[1] - near..=bounds[3] + near).contains(&y)
}

/// The part of a segment that is inside (Liang and Barsky).
pub(super) fn segment(bounds: Bounds, a: Point, b: Point) -> Option<(Point, Point)> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0, 1.0);
    for (along, room) in [(-dx, a.0 - bounds[0]), (dx, bounds[2] - a.0), (-dy, a.1 - bounds[1]), (dy, bounds[3] - a.1)]
    {
        if along == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if along < 0.0 {
            from = f64::max(from, room / along);
        } else {
            to = f64::min(to, room / along);
        }
    }
    let at = |part: f64| (a.0 + part * dx, a.1 + part * dy);
    (from <= to).then(|| (at(from), at(to)))
}

/// The parts of a line that are inside.
pub(super) fn line(bounds: Bounds, points: &[Point]) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut end = None;
    for ends in points.windows(2) {
        let Some((a, b)) = segment(bounds, ends[0], ends[1]) else {
            end = None;
            continue;
        };
        match parts.last_mut() {
            Some(part) if end == Some(a) => part.push(b),
            _ => parts.push(vec![a, b]),
        }
        end = Some(b);
    }
    parts
}

/// The part of an area that is inside, cut at one side after the other (Sutherland and Hodgman).
pub(super) fn area(bounds: Bounds, corners: &[Point]) -> Vec<Point> {
    let mut corners = corners.to_vec();
    for (side, &end) in bounds.iter().enumerate() {
        let across = |p: Point| if side % 2 == 0 { p.0 } else { p.1 };
        let is_in = |p: Point| if side < 2 { across(p) >= end } else { across(p) <= end };
        let mut kept = Vec::with_capacity(corners.len());
        for (at, &b) in corners.iter().enumerate() {
            let a = corners[(at + corners.len() - 1) % corners.len()];
            if is_in(a) != is_in(b) {
                let part = (end - across(a)) / (across(b) - across(a));
                kept.push((a.0 + part * (b.0 - a.0), a.1 + part * (b.1 - a.1)));
            }
            if is_in(b) {
                kept.push(b);
            }
        }
        corners = kept;
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Bounds = [0.0, 0.0, 10.0, 10.0];

    #[test]
    fn lines_end_at_the_frame_and_come_back() {
        let points = [(-5.0, 5.0), (5.0, 5.0), (5.0, 15.0), (8.0, 15.0), (8.0, 5.0)];
        let parts = line(UNIT, &points);
        assert_eq!(parts, [vec![(0.0, 5.0), (5.0, 5.0), (5.0, 10.0)], vec![(8.0, 10.0), (8.0, 5.0)]]);
        assert!(line(UNIT, &[(-5.0, -1.0), (20.0, -1.0)]).is_empty() && line(UNIT, &[(1.0, 1.0)]).is_empty());
    }

    #[test]
    fn areas_end_at_the_frame() {
        let square = [(5.0, 5.0), (15.0, 5.0), (15.0, 8.0), (5.0, 8.0)];
        let inside = area(UNIT, &square);
        assert_eq!(inside.len(), 4);
        assert!(inside.iter().all(|&p| super::inside(UNIT, p)), "{inside:?}");
        assert!(area(UNIT, &[(20.0, 1.0), (30.0, 1.0), (30.0, 2.0)]).is_empty() && area(UNIT, &[]).is_empty());
    }
}
