//! Values as bytes that a constant can read: a build script writes them into an image's source, where the compiler reads
//! them, and the image holds the value.

/// Reads what [`Writer`] wrote. Past the end everything is 0.
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes }
    }

    /// Whether all was read.
    pub(crate) const fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) const fn u8(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) const fn bool(&mut self) -> bool {
        self.u8() != 0
    }

    pub(crate) const fn i8(&mut self) -> i8 {
        self.u8().cast_signed()
    }

    pub(crate) const fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub(crate) const fn u32(&mut self) -> u32 {
        u32::from_le_bytes([self.u8(), self.u8(), self.u8(), self.u8()])
    }

    pub(crate) const fn u64(&mut self) -> u64 {
        let low = self.u32();
        (self.u32() as u64) << 32 | low as u64
    }

    pub(crate) const fn i32(&mut self) -> i32 {
        self.u32().cast_signed()
    }

    pub(crate) const fn f32(&mut self) -> f32 {
        f32::from_bits(self.u32())
    }
}

/// A value, stored.
#[derive(Debug, Clone, Copy)]
pub struct Writer {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Writer {
    /// More than any value takes: in memory it has 40 bytes.
    const ROOM: usize = 64;

    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; Self::ROOM],
            len: 0,
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    pub(crate) fn u8(&mut self, value: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = value;
            self.len += 1;
        }
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.u8(value.cast_unsigned());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        for byte in value.to_le_bytes() {
            self.u8(byte);
        }
    }

    pub(crate) fn u32(&mut self, value: u32) {
        for byte in value.to_le_bytes() {
            self.u8(byte);
        }
    }

    pub(crate) fn u64(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.u8(byte);
        }
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.u32(value.cast_unsigned());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }
}

/// `stored!(Name { field: type, … })`: the struct is stored field by field; a type is a number, `bool`, an array of two
/// to four of them, another that is stored, or `(option type)`.
macro_rules! stored {
    (@read $from:ident [$type:tt; 2]) => {
        [$crate::stored::stored!(@read $from $type), $crate::stored::stored!(@read $from $type)]
    };
    (@read $from:ident [$type:tt; 3]) => {
        [$crate::stored::stored!(@read $from $type), $crate::stored::stored!(@read $from $type), $crate::stored::stored!(@read $from $type)]
    };
    (@read $from:ident [$type:tt; 4]) => {
        [
            $crate::stored::stored!(@read $from $type),
            $crate::stored::stored!(@read $from $type),
            $crate::stored::stored!(@read $from $type),
            $crate::stored::stored!(@read $from $type),
        ]
    };
    (@read $from:ident (option $type:tt)) => {
        match $from.bool() {
            true => Some($crate::stored::stored!(@read $from $type)),
            false => None,
        }
    };
    (@read $from:ident bool) => { $from.bool() };
    (@read $from:ident u8) => { $from.u8() };
    (@read $from:ident i8) => { $from.i8() };
    (@read $from:ident u16) => { $from.u16() };
    (@read $from:ident u32) => { $from.u32() };
    (@read $from:ident i32) => { $from.i32() };
    (@read $from:ident f32) => { $from.f32() };
    (@read $from:ident $type:ident) => { $type::read($from) };
    (@write $to:ident $value:expr, [$type:tt; $len:literal]) => {
        for value in $value {
            $crate::stored::stored!(@write $to value, $type);
        }
    };
    (@write $to:ident $value:expr, (option $type:tt)) => {
        match $value {
            Some(value) => {
                $to.bool(true);
                $crate::stored::stored!(@write $to value, $type);
            }
            None => $to.bool(false),
        }
    };
    (@write $to:ident $value:expr, bool) => { $to.bool($value) };
    (@write $to:ident $value:expr, u8) => { $to.u8($value) };
    (@write $to:ident $value:expr, i8) => { $to.i8($value) };
    (@write $to:ident $value:expr, u16) => { $to.u16($value) };
    (@write $to:ident $value:expr, u32) => { $to.u32($value) };
    (@write $to:ident $value:expr, i32) => { $to.i32($value) };
    (@write $to:ident $value:expr, f32) => { $to.f32($value) };
    (@write $to:ident $value:expr, $type:ident) => { $value.write($to) };
    ($name:ident { $($field:ident: $type:tt),* $(,)? }) => {
        impl $name {
            pub(crate) const fn read(from: &mut $crate::stored::Reader) -> Self {
                Self { $($field: $crate::stored::stored!(@read from $type)),* }
            }

            pub(crate) fn write(&self, to: &mut $crate::stored::Writer) {
                $($crate::stored::stored!(@write to self.$field, $type);)*
            }
        }
    };
}
pub(crate) use stored;
