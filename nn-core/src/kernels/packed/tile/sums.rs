//! The sums of a block of four channels, two taps or four a step.

#[cfg(any(not(target_arch = "x86_64"), test))]
mod plain;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use plain::BlockSums;
#[cfg(not(target_arch = "x86_64"))]
pub(in super::super) use plain::PixelSums;
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::BlockSums;
#[cfg(target_arch = "x86_64")]
pub(in super::super) use sse2::PixelSums;

/// The sums at two pixels: S₀ and 256·S₁ + S₀ at each, then S₂ and 256·S₃ + S₂ at each.
pub(super) type Sums = [i32; 8];

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{plain, sse2};
    use crate::kernels::packed::tile::parts;
    use crate::scalar::XorShift32;

    /// Any words, the extremes among them: both wrap.
    fn words(rng: &mut XorShift32) -> [i32; 4] {
        core::array::from_fn(|_| match rng.draw() % 8 {
            0 => 0x8000_8000u32 as i32,
            1 => 0x7FFF_7FFF,
            _ => rng.draw() as i32,
        })
    }

    #[test]
    fn eight_products_at_a_time_give_the_same_sums() {
        let mut rng = XorShift32::new(5);
        let mut blocks = (plain::BlockSums::default(), sse2::BlockSums::default());
        let mut pixels = (plain::PixelSums::default(), sse2::PixelSums::default());
        for _ in 0..10_000 {
            let (weights, [x, y, ..]) = (words(&mut rng), words(&mut rng));
            let [a, b, ..] = weights;
            blocks.0.step(&[a, b], [parts(x), parts(y)]);
            blocks.1.step(&[a, b], [parts(x), parts(y)]);
            pixels.0.step(&weights, [x, y]);
            pixels.1.step(&weights, [x, y]);
            assert_eq!(blocks.0.sums(), blocks.1.sums());
            assert_eq!(pixels.0.sums(), pixels.1.sums());
        }
    }
}
