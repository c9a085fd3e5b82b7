//! From an int32 sum to an int8 output.

#[cfg(not(mote_helium))]
use crate::fixed_point::{rescale, saturate_i8};
use crate::kernels::ROWS_I8;

/// Bias, rescaling and range of an int8 layer's output channels.
#[derive(Debug, Clone, Copy)]
pub struct Requant<'r> {
    multipliers: &'r [i32],
    shifts: &'r [i32],
    bias: &'r [i32],
    zero_point: i32,
    min: i32,
    max: i32,
}

impl<'r> Requant<'r> {
    /// `table` holds the multipliers and then the shifts; `bias` is empty or as long as either.
    pub fn new(table: &'r [i32], bias: &'r [i32], zero_point: i32, range: [i8; 2]) -> Self {
        let (multipliers, shifts) = table.split_at_checked(table.len() / 2).unwrap_or_default();
        let [min, max] = range.map(i32::from);
        Self {
            multipliers,
            shifts,
            bias,
            zero_point,
            min,
            max,
        }
    }

    /// The sums that a block of channels begins with.
    #[inline]
    pub(crate) fn biases(&self, first: usize) -> [i32; ROWS_I8] {
        let mut sums = [0; ROWS_I8];
        for (sum, bias) in sums.iter_mut().zip(self.bias.get(first..).unwrap_or(&[])) {
            *sum = *bias;
        }
        sums
    }

    /// The outputs of the channels from `first` on for their finished sums.
    #[inline]
    pub(crate) fn finish(&self, first: usize, sums: &[i32], y: &mut [i8]) {
        #[cfg(mote_helium)]
        self.rescaling(first, y.len()).finish(sums, y);
        #[cfg(not(mote_helium))]
        for (index, (y, &sum)) in y.iter_mut().zip(sums).enumerate() {
            *y = self.apply(first + index, sum);
        }
    }

    /// What rescales `len` channels from `first` on.
    #[cfg(mote_helium)]
    #[inline]
    pub(crate) fn rescaling(&self, first: usize, len: usize) -> super::helium::Rescaling<'_> {
        let [multipliers, shifts] = self.factors(first, len);
        super::helium::Rescaling::new(multipliers, shifts, self.limits())
    }

    /// The multipliers and the shifts of `len` channels from `first` on.
    #[cfg(mote_helium)]
    #[inline]
    pub(crate) fn factors(&self, first: usize, len: usize) -> [&'r [i32]; 2] {
        [self.multipliers, self.shifts].map(|values| super::part(values, first, len))
    }

    /// The zero point, the lowest and the highest output.
    #[cfg(mote_helium)]
    #[inline]
    pub(crate) fn limits(&self) -> [i32; 3] {
        [self.zero_point, self.min, self.max]
    }

    /// The bias of `channel`.
    #[cfg(mote_helium)]
    #[inline]
    pub(crate) fn bias(&self, channel: usize) -> i32 {
        self.bias.get(channel).copied().unwrap_or(0)
    }

    /// The bias, the multiplier and the shift of `channel`.
    #[cfg(mote_helium)]
    #[inline]
    pub(crate) fn channel(&self, channel: usize) -> [i32; 3] {
        [self.bias, self.multipliers, self.shifts]
            .map(|values| values.get(channel).copied().unwrap_or(0))
    }

    /// The output of `channel` for its finished sum.
    #[cfg(not(mote_helium))]
    #[inline]
    pub(crate) fn apply(&self, channel: usize, sum: i32) -> i8 {
        let multiplier = self.multipliers.get(channel).copied().unwrap_or(0);
        let shift = self.shifts.get(channel).copied().unwrap_or(0);
        let value = rescale(sum, multiplier, shift).wrapping_add(self.zero_point);
        saturate_i8(value.max(self.min).min(self.max))
    }
}
