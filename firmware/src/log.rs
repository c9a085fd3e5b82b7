//! defmt in an image, nothing in the tests on a workstation.

macro_rules! log {
    ($level:ident, $($argument:tt)*) => {{
        #[cfg(all(target_os = "none", feature = "image"))]
        defmt::$level!($($argument)*);
    }};
}

pub(crate) use log;
