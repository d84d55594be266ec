//! [`columns`]: the past as columns of pixels, in which no peak is lost.

use headcount_wire::history::Point;

/// What one column of pixels shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Column {
    /// The least of its steps' means.
    pub(crate) lowest: f64,
    /// The most at any moment of its steps.
    pub(crate) highest: f64,
    /// All of it is below the bound under which numbers are hidden: `highest` is that bound.
    pub(crate) is_hidden: bool,
}

/// Spreads points over so many columns; `None` is a column of which nothing is known. A column of several points has the range
/// of those that are known, and where there are fewer points than columns, each has several. What is below `small` is raised
/// to it.
pub(crate) fn columns(points: &[Option<Point>], small: u64, columns: usize) -> Vec<Option<Column>> {
    let at = |column: usize| column * points.len() / columns;
    let column = |index: usize| {
        let (from, to) = (at(index), at(index + 1).max(at(index) + 1).min(points.len()));
        points.get(from..to)?.iter().flatten().map(|point| of_point(point, small)).reduce(|one, other| Column {
            lowest: one.lowest.min(other.lowest),
            highest: one.highest.max(other.highest),
            is_hidden: one.is_hidden && other.is_hidden,
        })
    };
    (0..columns).map(column).collect()
}

fn of_point(point: &Point, small: u64) -> Column {
    let (bound, highest) = (small as f64, f64::from(point.highest));
    // Whatever a file says, the mean is within the range.
    let mean = if point.mean.is_finite() { point.mean.clamp(0.0, highest) } else { 0.0 };
    if u64::from(point.highest) < small {
        return Column { lowest: 0.0, highest: bound, is_hidden: true };
    }
    // A mean over a time in which the number was hidden would tell of it.
    let lowest = if small > 0 { highest } else { mean };
    Column { lowest, highest, is_hidden: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(highest: u32) -> Option<Point> {
        Some(Point { highest, mean: f64::from(highest) / 2.0 })
    }

    #[test]
    fn each_point_is_in_a_column() {
        for points in [1, 2, 59, 60, 61, 1440, 1830] {
            for wanted in [1, 2, 60, 97, 560, 1160] {
                for spike in 0..points {
                    let mut all = vec![point(1); points];
                    all[spike] = point(9);
                    let highest: Vec<f64> =
                        columns(&all, 0, wanted).into_iter().map(|column| column.unwrap().highest).collect();
                    assert!(highest.contains(&9.0), "{spike} of {points} in {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_is_unknown_stays_so_unless_something_beside_it_is_known() {
        assert_eq!(columns(&[], 0, 3), [None; 3]);
        let known = Some(Column { lowest: 1.0, highest: 2.0, is_hidden: false });
        assert_eq!(columns(&[None, point(2)], 0, 4), [None, None, known, known]);
        assert_eq!(columns(&[None, point(2), None, None], 0, 2), [known, None]);
    }

    #[test]
    fn small_numbers_are_hidden() {
        let hidden = Some(Column { lowest: 0.0, highest: 5.0, is_hidden: true });
        assert_eq!(columns(&[point(0), point(4)], 5, 2), [hidden, hidden]);
        assert_eq!(columns(&[point(6)], 5, 1), [Some(Column { lowest: 6.0, highest: 6.0, is_hidden: false })]);
    }

    #[test]
    fn means_outside_of_their_range_do_no_harm() {
        for mean in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let column = columns(&[Some(Point { highest: 3, mean })], 0, 1)[0].unwrap();
            assert!((0.0..=3.0).contains(&column.lowest) && column.highest == 3.0);
        }
    }
}
