//! A model of what instructions take on a Cortex-M4, in cycles, from a trace of the emulator.
//!
//! After the Cortex-M4 Technical Reference Manual, r0p1, section 3.3, with no wait states:
//!
//! | instruction | cycles |
//! |---|---|
//! | most, multiplications and DSP among them | 1 |
//! | load of one word or less | 2; 1 right after another load or store of one |
//! | store of one word or less | 1; with a register as offset 2 |
//! | load or store of N words | 1 + N |
//! | branch | 1, taken 1 + P |
//! | load that writes PC, table branch | P more |
//! | SDIV, UDIV | 12, the most of 2 to 12 |
//! | VDIV, VSQRT | 14 |
//! | VMLA, VMLS, VFMA and their negated forms | 3 |
//! | VMOV between two core registers and the FPU | 2 |
//!
//! P, the refilling of the pipeline, is 1 to 3 there; here it is 2. An instruction whose condition fails counts as if it
//! held.

use object::{Object, ObjectSection};

/// Cycles to refill the pipeline.
const REFILL: u64 = 2;

/// The code of an image.
#[derive(Debug)]
pub(super) struct Code {
    /// Sections, each from an address on.
    sections: Vec<(u32, Vec<u8>)>,
}

impl Code {
    /// Of an ELF file.
    pub(super) fn read(elf: &[u8]) -> Option<Self> {
        let file = object::File::parse(elf).ok()?;
        let sections = file.sections().filter_map(|section| {
            let start = u32::try_from(section.address()).ok()?;
            let is_code = matches!(section.kind(), object::SectionKind::Text);
            Some((start, section.data().ok()?.to_vec())).filter(|_| is_code)
        });
        Some(Self {
            sections: sections.collect(),
        })
    }

    /// The halfword at `address`; 0 where there is no code.
    fn halfword(&self, address: u32) -> u16 {
        let mut found = self.sections.iter().filter_map(|(start, bytes)| {
            let at = address.checked_sub(*start)? as usize;
            bytes.get(at..at + 2)?.try_into().ok()
        });
        found.next().map_or(0, u16::from_le_bytes)
    }

    /// The instruction at `address`.
    fn instruction(&self, address: u32) -> Instruction {
        let first = self.halfword(address);
        if first >> 11 >= 0b11101 {
            let second = self.halfword(address.wrapping_add(2));
            Instruction {
                bytes: 4,
                kind: wide(first, second),
            }
        } else {
            Instruction {
                bytes: 2,
                kind: narrow(first),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    bytes: u32,
    kind: Kind,
}

/// What an instruction's cycles depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// So many cycles.
    Plain(u64),
    /// A load of one word or less.
    Load,
    /// A store of one word or less; whether its offset is a register.
    Store { register: bool },
    /// Loads or stores of so many words.
    Several(u64),
    /// May go elsewhere, after so many cycles.
    Branch(u64),
}

use Kind::{Branch, Load, Plain, Several, Store};

/// A 16-bit instruction. Encodings: ARMv7-M Architecture Reference Manual, section A5.2.
fn narrow(word: u16) -> Kind {
    let word = u32::from(word);
    let registers = u64::from((word & 0xFF).count_ones());
    match word >> 12 {
        // LDR of a literal; BX, BLX; ADD and MOV to PC.
        4 if word >> 11 == 0b01001 => Load,
        4 if word & 0xFF00 == 0x4700 => Branch(1),
        4 if matches!(word & 0xFF87, 0x4487 | 0x4687) => Branch(1),
        5 if (word >> 9) & 7 < 3 => Store { register: true },
        5 => Load,
        6..=9 if word & 0x0800 == 0 => Store { register: false },
        6..=9 => Load,
        // CBZ, CBNZ; PUSH; POP, with PC.
        11 if word & 0xF500 == 0xB100 => Branch(1),
        11 if word & 0xFE00 == 0xB400 => Several(registers + u64::from(word >> 8 & 1)),
        11 if word & 0xFF00 == 0xBD00 => Branch(2 + registers),
        11 if word & 0xFE00 == 0xBC00 => Several(registers),
        12 => Several(registers),
        13 if word >> 8 & 0xF < 14 => Branch(1),
        14 => Branch(1),
        _ => Plain(1),
    }
}

/// A 32-bit instruction. Encodings: section A5.3.
fn wide(first: u16, second: u16) -> Kind {
    let (first, second) = (u32::from(first), u32::from(second));
    let listed = u64::from(second.count_ones());
    let to_pc = second >> 15 == 1;
    match first >> 9 & 0x7F {
        // LDM, STM.
        0b111_0100 if first & 0x40 == 0 => match first & 0x10 != 0 && to_pc {
            true => Branch(1 + listed),
            false => Several(listed),
        },
        // TBB, TBH; LDRD, STRD; exclusives.
        0b111_0100 if first & 0xFFF0 == 0xE8D0 && second & 0xFFE0 == 0xF000 => Branch(2),
        0b111_0100 if first & 0x0120 != 0 => Several(2),
        0b111_0100 => Plain(2),
        // Of the FPU: two registers; one word or two; several.
        0b111_0110 if first & 0x01E0 == 0x0040 => Plain(2),
        0b111_0110 if first & 0x0120 == 0x0100 => Several(1 + u64::from(second >> 8 & 1)),
        0b111_0110 => Several(u64::from(second & 0xFF)),
        0b111_0111 if first & 0xFF00 == 0xEE00 && second & 0x10 == 0 => fpu(first, second),
        // Branches, and what is neither.
        0b111_1000..=0b111_1011 if to_pc => match (second & 0x5000, first >> 6 & 0xF) {
            (0, 14..) => Plain(2),
            _ => Branch(1),
        },
        // One word or less.
        0b111_1100 if first & 0x10 == 0 => Store {
            register: first & 0x80 == 0 && second & 0x0FC0 == 0,
        },
        0b111_1100 if first & 0x60 == 0x40 && second >> 12 == 15 => Branch(2),
        0b111_1100 => Load,
        // SDIV, UDIV.
        0b111_1101 if matches!(first & 0xFFF0, 0xFB90 | 0xFBB0) => Plain(12),
        _ => Plain(1),
    }
}

/// Arithmetic of the FPU.
fn fpu(first: u32, second: u32) -> Kind {
    match (first >> 7 & 1, first >> 4 & 3) {
        (0, 0 | 1) | (1, 1 | 2) => Plain(3),
        (1, 0) => Plain(14),
        (1, 3) if first & 0xF == 1 && second & 0xC0 == 0xC0 => Plain(14),
        _ => Plain(1),
    }
}

/// Adds up a trace.
#[derive(Debug)]
pub(super) struct Counter<'c> {
    code: &'c Code,
    last: Option<(u32, Instruction)>,
    was_single: bool,
    /// So far.
    pub(super) cycles: u64,
    /// So far.
    pub(super) instructions: u64,
}

impl<'c> Counter<'c> {
    pub(super) fn new(code: &'c Code) -> Self {
        Self {
            code,
            last: None,
            was_single: false,
            cycles: 0,
            instructions: 0,
        }
    }

    /// The instruction at `address` runs.
    pub(super) fn step(&mut self, address: u32) {
        if let Some((
            at,
            Instruction {
                bytes,
                kind: Branch(_),
            },
        )) = self.last
            && address != at.wrapping_add(bytes)
        {
            self.cycles += REFILL;
        }
        let instruction = self.code.instruction(address);
        let single = matches!(instruction.kind, Load | Store { .. });
        self.cycles += match instruction.kind {
            Plain(cycles) | Branch(cycles) => cycles,
            Load if self.was_single => 1,
            Load => 2,
            Store { register } => 1 + u64::from(register),
            Several(words) => 1 + words,
        };
        self.instructions += 1;
        self.was_single = single;
        self.last = Some((address, instruction));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the encodings that an assembler gives.
    #[test]
    fn instructions_are_told_apart() {
        for (word, wanted) in [
            (0x4770, Branch(1)),                 // bx lr
            (0xD1FD, Branch(1)),                 // bne
            (0xE7FE, Branch(1)),                 // b
            (0xB108, Branch(1)),                 // cbz r0
            (0x6808, Load),                      // ldr r0, [r1]
            (0x5C40, Load),                      // ldrb r0, [r0, r1]
            (0x5488, Store { register: true }),  // strb r0, [r1, r2]
            (0x7008, Store { register: false }), // strb r0, [r1]
            (0x4801, Load),                      // ldr r0, [pc, #4]
            (0xB5F0, Several(5)),                // push {r4-r7, lr}
            (0xBDF0, Branch(6)),                 // pop {r4-r7, pc}
            (0xC80F, Several(4)),                // ldm r0!, {r0-r3}
            (0x4348, Plain(1)),                  // muls r0, r1
            (0x3801, Plain(1)),                  // subs r0, #1
        ] {
            assert_eq!(narrow(word), wanted, "{word:04x}");
        }
        for ([first, second], wanted) in [
            ([0xFB20, 0x4503], Plain(1)),                  // smlad r5, r0, r3, r4
            ([0xFB91, 0xF0F2], Plain(12)),                 // sdiv r0, r1, r2
            ([0xF8D1, 0x0004], Load),                      // ldr.w r0, [r1, #4]
            ([0xF851, 0x0B04], Load),                      // ldr r0, [r1], #4
            ([0xF841, 0x0022], Store { register: true }),  // str.w r0, [r1, r2, lsl #2]
            ([0xF8C1, 0x0004], Store { register: false }), // str.w r0, [r1, #4]
            ([0xE8F1, 0x2302], Several(2)),                // ldrd r2, r3, [r1], #8
            ([0xE891, 0x003C], Several(4)),                // ldm.w r1, {r2-r5}
            ([0xE8BD, 0x81F0], Branch(7)),                 // pop.w {r4-r8, pc}
            ([0xF000, 0xF802], Branch(1)),                 // bl
            ([0xF47F, 0xAFFE], Branch(1)),                 // bne.w
            ([0xE8DF, 0xF000], Branch(2)),                 // tbb [pc, r0]
            ([0xFA2F, 0xF081], Plain(1)),                  // sxtb16 r0, r1
            ([0xF3BF, 0x8F6F], Plain(2)),                  // isb
            ([0xEE30, 0x0A20], Plain(1)),                  // vadd.f32 s0, s0, s1
            ([0xEE80, 0x0A20], Plain(14)),                 // vdiv.f32 s0, s0, s1
            ([0xEEB1, 0x0AC0], Plain(14)),                 // vsqrt.f32 s0, s0
            ([0xEE00, 0x0A20], Plain(3)),                  // vmla.f32 s0, s0, s1
            ([0xED90, 0x0A00], Several(1)),                // vldr s0, [r0]
            ([0xEC90, 0x0A04], Several(4)),                // vldm r0, {s0-s3}
            ([0xEE10, 0x0A10], Plain(1)),                  // vmov r0, s0
        ] {
            assert_eq!(wide(first, second), wanted, "{first:04x} {second:04x}");
        }
    }

    /// Two turns of a loop: subs, bne taken, subs, bne not taken; then two loads side by side.
    #[test]
    fn cycles_follow_the_path() {
        let words = [0x3801u16, 0xD1FD, 0x6808, 0x6849];
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let code = Code {
            sections: vec![(0x100, bytes)],
        };
        let mut counter = Counter::new(&code);
        for address in [0x100, 0x102, 0x100, 0x102, 0x104, 0x106] {
            counter.step(address);
        }
        assert_eq!((counter.instructions, counter.cycles), (6, 4 + REFILL + 3));
    }
}
