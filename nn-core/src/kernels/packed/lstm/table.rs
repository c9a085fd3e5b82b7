//! The table of a packed LSTM: factors, cell and output.

use super::{CELL, FACTOR, GATES, PackError, TABLE, Table};

/// The table of a layer with these factors, and this zero point of h.
pub(super) fn table_of(requant: &[i32], zero: i8) -> Result<Table, PackError> {
    let &[ref factors @ .., m, shift, exponent, clip] = requant else {
        return Err(PackError::Shape);
    };
    if factors.len() != 4 * GATES {
        return Err(PackError::Shape);
    }
    let mut table = [0; TABLE];
    let (products, rest) = table.split_at_mut_checked(CELL).ok_or(PackError::Shape)?;
    let products = products.as_chunks_mut::<FACTOR>().0;
    for which in 0..2 {
        let places = products.iter_mut().skip(which * GATES).take(GATES);
        for (gate, place) in places.enumerate() {
            let fault = PackError::Factor { channel: gate };
            let factor = factors.get(4 * gate + 2 * which..).unwrap_or(&[]);
            let Some(&[m, shift]) = factor.first_chunk() else {
                return Err(PackError::Shape);
            };
            *place = product(gate, m, shift).ok_or(fault)?;
        }
    }
    let numbers = cell(exponent, clip).zip(output(m, shift, zero));
    let (cell, output) = numbers.ok_or(PackError::Factor { channel: 0 })?;
    for (to, from) in rest.iter_mut().zip(cell.into_iter().chain(output)) {
        *to = from;
    }
    Ok(table)
}

/// The numbers of the cell.
fn cell(exponent: i32, clip: i32) -> Option<[i32; 4]> {
    let in_range = (-28..=-9).contains(&exponent) && (0..=32_767).contains(&clip);
    in_range.then(|| {
        let numbers = [(1 << (29 + exponent)) + 1, 30 + exponent];
        [numbers[0], numbers[1], 3 << (28 + exponent), clip]
    })
}

/// The numbers of the output.
fn output(m: i32, shift: i32, zero: i8) -> Option<[i32; 3]> {
    let right = shift.unsigned_abs();
    if !(-31..=-1).contains(&shift) || m < 0 {
        return None;
    }
    // A product of two numbers of 16 bits has 30; half of it and the offset have 31.
    let offset = (1i64 << (right - 1)) + (i64::from(zero) << right);
    let offset = i32::try_from(offset).ok()?;
    let fits = offset.unsigned_abs() <= (1 << 30) - 3;
    fits.then_some([m, offset, -shift])
}

/// The numbers of a gate's product.
fn product(gate: usize, m: i32, shift: i32) -> Option<[i32; FACTOR]> {
    let left = shift.max(0);
    let right = shift.min(0).unsigned_abs();
    // The offset has 30 bits, and so has half of X.
    if m < 0 || left > 7 || right > 30 {
        return None;
    }
    let turn = if gate.is_multiple_of(2) {
        left + 1
    } else {
        7 - left
    };
    Some(match right {
        0 => [turn, m, 0, 0, 0],
        // Of 1 to 30.
        s => [turn, m, 1 << (s - 1), -1, s as i32],
    })
}

/// Whether a table holds numbers that `pack` writes.
pub fn is_valid(table: &[i32]) -> bool {
    let (products, rest) = table.split_at_checked(CELL).unwrap_or_default();
    let products = products.as_chunks::<FACTOR>().0.iter().enumerate();
    let mut products = products;
    let whole = products.all(|(index, found)| {
        let gate = index % GATES;
        let [turn, m, _, _, s] = *found;
        let left = if gate.is_multiple_of(2) {
            turn.wrapping_sub(1)
        } else {
            7i32.wrapping_sub(turn)
        };
        let single = left >= 0 && s >= 0 && (left == 0 || s == 0);
        single && product(gate, m, left.wrapping_sub(s)) == Some(*found)
    });
    let rest = rest.first_chunk::<7>().filter(|_| table.len() == TABLE);
    let Some(&[forward, right, scale, clip, m, offset, s]) = rest else {
        return false;
    };
    let same_cell = cell(right.wrapping_sub(30), clip) == Some([forward, right, scale, clip]);
    let zero = offset.checked_shr(s.unsigned_abs()).unwrap_or(0);
    let zero = i8::try_from(zero).unwrap_or(0);
    whole && same_cell && output(m, s.wrapping_neg(), zero) == Some([m, offset, s])
}
