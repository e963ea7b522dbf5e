//! Dots on characters of the braille block.

/// Which bit of a braille character each of its dots is, by column and row.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// A field of dots.
#[derive(Debug)]
pub(super) struct Canvas {
    columns: usize,
    cells: Vec<u8>,
}

impl Canvas {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            cells: vec![0; columns * rows],
        }
    }

    /// Dots across.
    pub(super) fn across(&self) -> usize {
        self.columns * 2
    }

    /// Dots down.
    pub(super) fn down(&self) -> usize {
        self.cells.len() / self.columns * 4
    }

    /// Sets the dot so far from the left and the top.
    pub(super) fn dot(&mut self, (x, y): (usize, usize)) {
        self.cells[y / 4 * self.columns + x / 2] |= BITS[x % 2][y % 4];
    }

    /// Sets the dots between two, both included.
    pub(super) fn line(&mut self, from: (usize, usize), to: (usize, usize)) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
        for step in 0..=steps {
            let between = |a: usize, b: usize| match steps {
                0 => a,
                _ => (a * (steps - step) + b * step + steps / 2) / steps,
            };
            self.dot((between(from.0, to.0), between(from.1, to.1)));
        }
    }

    /// The lines of text, from the top.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let braille = |bits: &u8| char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ');
        self.cells
            .chunks(self.columns)
            .map(move |row| row.iter().map(braille).collect())
    }
}
