//! The part of the vector table that a device has for itself, for boards whose images serve no interrupt: a single entry,
//! which the linker script wants, where cortex-m-rt would put 240.

/// An entry; `DefaultHandler` is cortex-m-rt's.
type Vector = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Vector; 1] = [DefaultHandler];
