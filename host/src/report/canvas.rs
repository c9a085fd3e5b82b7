//! The paper that pictures are drawn on: size, colours, fonts, and how it becomes a PNG.

use std::path::Path;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::ReportError;

/// What drawing may fail with.
pub(super) type DrawError = Box<dyn std::error::Error + Send + Sync>;
/// A part of the paper.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(38, 42, 50);
/// Lines that help the eye.
pub(super) const FAINT: RGBColor = RGBColor(226, 229, 234);
/// What is learnt from, what is right.
pub(super) const BLUE: RGBColor = RGBColor(31, 106, 178);
/// What is held out, what is wrong.
pub(super) const ORANGE: RGBColor = RGBColor(217, 108, 30);
/// The name under which the embedded font is registered.
pub(super) const FONT: &str = "sans-serif";

/// Text of `size` pixels.
pub(super) fn text(size: u32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(&colour)
}

/// Bold text of `size` pixels.
pub(super) fn bold(size: u32, colour: RGBColor) -> TextStyle<'static> {
    (FONT, size, FontStyle::Bold).into_font().color(&colour)
}

/// The style, centred on the point that it is drawn at.
pub(super) fn centred(style: TextStyle<'static>) -> TextStyle<'static> {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    style.pos(Pos::new(HPos::Center, VPos::Center))
}

/// `share` of the way from `from` to `to`; `share` is held within 0 and 1.
pub(super) fn blend(from: RGBColor, to: RGBColor, share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0);
    // Between two bytes: a byte.
    let mix = |from: u8, to: u8| (f64::from(from) * (1.0 - share) + f64::from(to) * share) as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// DejaVu Sans, compiled in: a bare container has no fonts.
fn fonts() -> Result<(), DrawError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(FONT, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if *registered {
        Ok(())
    } else {
        Err("the font that is compiled in is damaged".into())
    }
}

/// Draws on white paper of `size` (width, height) below a title, and writes the PNG.
pub(super) fn draw(
    path: &Path,
    title: &str,
    size: (u32, u32),
    picture: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<(), ReportError> {
    let failed = |source| ReportError::Draw {
        path: path.to_path_buf(),
        source,
    };
    let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
    paint(&mut pixels, title, size, picture).map_err(failed)?;
    let packed = pack(&pixels, size).map_err(|error| failed(error.into()))?;
    std::fs::write(path, packed).map_err(|source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    })
}

fn paint(
    pixels: &mut [u8],
    title: &str,
    size: (u32, u32),
    picture: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
) -> Result<(), DrawError> {
    fonts()?;
    let root = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.margin(18, 18, 24, 24).split_vertically(44);
    head.draw_text(title, &bold(26, INK), (6, 4))?;
    picture(&body)?;
    root.present()?;
    Ok(())
}

/// A frame of an animation: what stands above it, and what draws it.
pub(super) type Frame<'f> = (String, &'f dyn Fn(&Area<'_>) -> Result<(), DrawError>);

/// Draws frames as [`draw`] draws a picture, and writes them as a GIF that begins again; each is shown for
/// `hundredths` of a second.
pub(super) fn animate(
    path: &Path,
    size: (u16, u16),
    hundredths: u16,
    frames: &[Frame<'_>],
) -> Result<(), ReportError> {
    let failed = |source| ReportError::Draw {
        path: path.to_path_buf(),
        source,
    };
    let mut packed = Vec::new();
    let encoder = gif::Encoder::new(&mut packed, size.0, size.1, &[]);
    let mut encoder = encoder.map_err(|error| failed(error.into()))?;
    let repeat = encoder.set_repeat(gif::Repeat::Infinite);
    repeat.map_err(|error| failed(error.into()))?;
    let mut pixels = vec![0; usize::from(size.0) * usize::from(size.1) * 3];
    for (title, picture) in frames {
        let size_in_pixels = (size.0.into(), size.1.into());
        paint(&mut pixels, title, size_in_pixels, picture).map_err(failed)?;
        let mut frame = gif::Frame::from_rgb_speed(size.0, size.1, &pixels, 10);
        frame.delay = hundredths;
        let written = encoder.write_frame(&frame);
        written.map_err(|error| failed(error.into()))?;
    }
    drop(encoder);
    std::fs::write(path, packed).map_err(|source| ReportError::Write {
        path: path.to_path_buf(),
        source,
    })
}

fn pack(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut packed = Vec::new();
    let mut encoder = png::Encoder::new(&mut packed, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(packed)
}
