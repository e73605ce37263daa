//! Rectangles in images.

/// The bounding box of a face, in pixels of the upright image. It may reach beyond the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

impl FaceBox {
    /// Returns the area, in square pixels.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// Returns the intersection over union of two boxes, 0..1.
    pub fn overlap(&self, other: &Self) -> f32 {
        let shared = |a: f32, a_size: f32, b: f32, b_size: f32| {
            ((a + a_size).min(b + b_size) - a.max(b)).max(0.0)
        };
        let both = shared(self.x, self.width, other.x, other.width)
            * shared(self.y, self.height, other.y, other.height);
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn square(x: f32, width: f32) -> FaceBox {
        FaceBox {
            x,
            y: 100.0,
            width,
            height: width,
        }
    }

    proptest! {
        #[test]
        fn overlap_is_a_symmetric_share(
            a in (0f32..500.0, 1f32..300.0), b in (0f32..500.0, 1f32..300.0),
        ) {
            let (a, b) = (square(a.0, a.1), square(b.0, b.1));
            let overlap = a.overlap(&b);
            // Rounding: an edge is the sum of numbers of very different size.
            prop_assert!((0.0..=1.001).contains(&overlap));
            prop_assert!((overlap - b.overlap(&a)).abs() < 1e-3);
            prop_assert!((a.overlap(&a) - 1.0).abs() < 1e-3);
        }
    }
}
