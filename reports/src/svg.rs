//! The drawing surface under plotters: SVG whose elements carry classes instead of colours, and text that is text.
//!
//! Neighbouring shapes of one role become one path, and a shape that was just drawn is not drawn again, so long runs
//! stay small. Invariant: nothing here fails; all text is escaped.

use crate::html::escape;
use crate::ink::Ink;
use plotters::prelude::{DrawingBackend, IntoDrawingArea};
use plotters::style::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingErrorKind, FontTransform};
use std::convert::Infallible;
use std::fmt::Write as _;

/// Mean width of a letter, as a share of the size of the type; wide enough for digits and capitals.
const LETTER_WIDTH: f64 = 0.58;

/// How wide a text is likely to be.
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER_WIDTH
}

/// A drawing in progress.
#[derive(Debug, Default)]
pub struct Sheet {
    width: u32,
    height: u32,
    body: String,
    /// The path that is being drawn: class, and its steps.
    open: Option<(&'static str, Ink, String)>,
}

impl Sheet {
    /// An empty sheet.
    pub fn new(width: u32, height: u32) -> Sheet {
        Sheet { width, height, ..Sheet::default() }
    }

    /// The surface for plotters.
    pub fn area(&mut self) -> plotters::drawing::DrawingArea<Surface<'_>, plotters::coord::Shift> {
        Surface(self).into_drawing_area()
    }

    /// The finished picture. `title` names it, `about` says in words what it shows.
    pub fn finish(mut self, title: &str, about: &str) -> String {
        self.close();
        format!(
            "<svg role=\"img\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" \
             xmlns=\"http://www.w3.org/2000/svg\"><title>{2}</title><desc>{3}</desc>{4}</svg>",
            self.width,
            self.height,
            escape(title),
            escape(about),
            self.body
        )
    }

    /// Adds steps to the path of this kind and role.
    fn path(&mut self, kind: &'static str, ink: Ink, steps: &str) {
        match &mut self.open {
            Some((open, role, path)) if *open == kind && *role == ink => {
                if !path.ends_with(steps) {
                    path.push_str(steps);
                }
            }
            _ => {
                self.close();
                self.open = Some((kind, ink, steps.to_owned()));
            }
        }
    }

    fn close(&mut self) {
        if let Some((kind, ink, path)) = self.open.take() {
            self.push(format_args!("<path class=\"{kind} {}\" d=\"{path}\"/>", ink.class()));
        }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("writing into a string cannot fail");
    }
}

/// What plotters draws on.
#[derive(Debug)]
pub struct Surface<'s>(&'s mut Sheet);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

fn ink(style: &impl BackendStyle) -> Option<Ink> {
    let color = style.color();
    (color.alpha > 0.0).then(|| Ink::of_color(color.rgb))
}

fn steps(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut text = String::new();
    let mut last = None;
    for point in points {
        if last == Some(point) {
            continue;
        }
        let letter = if last.is_none() { 'M' } else { 'L' };
        write!(text, "{letter}{} {}", point.0, point.1).expect("writing into a string cannot fail");
        last = Some(point);
    }
    text
}

impl DrawingBackend for Surface<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width, self.0.height)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        let Some(ink) = ink(style) else { return Ok(()) };
        let (width, height) = ((to.0 - from.0).max(1), (to.1 - from.1).max(1));
        let steps = format!("M{} {}h{width}v{height}h-{width}z", from.0, from.1);
        self.0.path(if fill { "f" } else { "l" }, ink, &steps);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        if let Some(ink) = ink(style) {
            self.0.path("l", ink, &steps(path));
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, fill: bool) -> Drawn {
        let Some(ink) = ink(style) else { return Ok(()) };
        let (left, across) = (x - i32::try_from(radius).unwrap_or(0), radius * 2);
        let arc = format!("a{radius} {radius} 0 1 0");
        let steps = format!("M{left} {y}{arc} {across} 0{arc} -{across} 0z");
        self.0.path(if fill { "f" } else { "l" }, ink, &steps);
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        if let Some(ink) = ink(style) {
            self.0.path("f", ink, &(steps(corners) + "z"));
        }
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, (x, y): BackendCoord) -> Drawn {
        let color = style.color();
        if color.alpha == 0.0 || text.is_empty() {
            return Ok(());
        }
        self.0.close();
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        let size = style.size();
        // The baseline lies three quarters of the size below the top of a letter, about.
        let down = match style.anchor().v_pos {
            VPos::Top => size * 0.76,
            VPos::Center => size * 0.34,
            VPos::Bottom => -size * 0.2,
        };
        let turned = !matches!(style.transform(), FontTransform::None);
        let turn = if turned { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
        self.0.push(format_args!(
            "<text class=\"{}\" x=\"{x}\" y=\"{:.0}\" font-size=\"{size:.0}\" text-anchor=\"{anchor}\"{turn}>{}</text>",
            Ink::of_color(color.rgb).class(),
            f64::from(y) + down,
            escape(text)
        ));
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size();
        Ok((text_width(text, size).ceil() as u32, size.ceil() as u32))
    }
}
