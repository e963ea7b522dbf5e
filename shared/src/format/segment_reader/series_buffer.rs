//! Points of one series, column by column.

use crate::format::order_column::{OrderCursor, OrderRun};

/// The points of one series, in buffers that are used again.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesBuffer {
    /// Milliseconds since the epoch, strictly ascending.
    pub timestamps_ms: Vec<i64>,
    /// As many values.
    pub values: Vec<f64>,
    /// Where they came from; the stretches' points add up to as many.
    pub orders: Vec<OrderRun>,
}

impl SeriesBuffer {
    /// Forgets the points and keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.orders.clear();
    }

    /// Moves the first `points` to the end of `out`.
    ///
    /// # Panics
    /// If there are not so many, or their orders do not add up.
    pub fn move_first(&mut self, points: usize, out: &mut Self) {
        out.timestamps_ms.extend(self.timestamps_ms.drain(..points));
        out.values.extend(self.values.drain(..points));
        let mut left = u32::try_from(points).expect("a part of a series fits 32 bits");
        OrderCursor::new(&self.orders).advance(left, |stretch| out.push_order(stretch));
        self.orders.retain_mut(|stretch| {
            let moved = left.min(stretch.points);
            stretch.points -= moved;
            left -= moved;
            stretch.points > 0
        });
    }

    /// Appends a stretch; joined to the last where both are of the same record.
    pub fn push_order(&mut self, stretch: OrderRun) {
        match self.orders.last_mut() {
            Some(last) if last.order == stretch.order => last.points += stretch.points,
            Some(_) | None => self.orders.push(stretch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::order_column::Order;
    use crate::offset::Offset;

    #[test]
    fn points_that_are_moved_piece_by_piece_are_the_same() {
        let mut whole = SeriesBuffer::default();
        for (number, points) in (0..).zip([3, 1, 4, 1, 5, 9, 2, 6]) {
            let order = Order {
                offset: Offset(number),
                ..Order::default()
            };
            whole.push_order(OrderRun { order, points });
        }
        whole.timestamps_ms.extend(0..31);
        whole.values.extend((0..31).map(f64::from));
        for piece in [1, 2, 3, 7, 31, 40] {
            let (mut rest, mut out) = (whole.clone(), SeriesBuffer::default());
            while !rest.values.is_empty() {
                let points = rest.values.len().min(piece);
                rest.move_first(points, &mut out);
            }
            assert_eq!((rest, out), (SeriesBuffer::default(), whole.clone()));
        }
    }
}
