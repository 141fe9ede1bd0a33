use super::*;

fn plot(panels: usize, points: &[(f64, f64)], log: bool) -> Plot {
    let series = |label: &str, style: Style| Series {
        label: label.to_string(),
        points: points.to_vec(),
        band: Some(points.iter().map(|&(_, y)| (0.9 * y, 1.1 * y)).collect()),
        style,
    };
    let panel = |at: usize| Panel {
        title: format!("panel {at} <&>"),
        series: vec![series("a & b", Style::LineAndMarks), series("c", Style::Line)],
        ..Panel::default()
    };
    Plot {
        title: "title".to_string(),
        caption: vec!["a caption of many words ".repeat(20).trim().to_string(), "another".to_string()],
        x: Axis { label: "to the right".to_string(), log, ..Axis::default() },
        y: Axis { label: "upwards, ms".to_string(), log, ..Axis::default() },
        panels: (0..panels).map(panel).collect(),
    }
}

fn bars(categories: &[&str], sets: usize, stacked: bool) -> Bars {
    let set = |at: usize| BarSet {
        label: format!("set {at}"),
        values: (0..categories.len()).map(|category| 0.5 + (at + category) as f64).collect(),
        whiskers: Some(vec![(0.25, 1.0); categories.len()]),
    };
    Bars {
        categories: categories.iter().map(|&name| name.to_string()).collect(),
        sets: (0..sets).map(set).collect(),
        stacked,
    }
}

fn with_bars(bars: Bars, axis: Axis) -> Plot {
    Plot { y: axis, panels: vec![Panel { bars: Some(bars), ..Panel::default() }], ..Plot::default() }
}

/// Texts of the picture, in order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text ")
        .skip(1)
        .filter_map(|rest| rest.split_once(">\n")?.1.split_once("\n</text>"))
        .map(|t| t.0)
        .collect()
}

#[test]
fn everything_is_in_the_picture() {
    for log in [false, true] {
        for panels in [1, 2, 4] {
            let svg = plot(panels, &[(1.0, 0.1), (1000.0, 20.0)], log).to_svg().unwrap();
            for part in ["title", "upwards, ms", "to the right", "a &amp; b", "another", "&lt;&amp;&gt;", "<polyline"] {
                assert!(svg.contains(part), "{part} in {svg}");
            }
            assert_eq!(svg.matches("a &amp; b").count(), 1, "one legend for all");
            assert!(svg.trim_end().ends_with("</svg>"));
        }
    }
}

#[test]
fn odd_points_do_no_harm() {
    let nan = f64::NAN;
    for points in
        [&[][..], &[(5.0, 5.0)], &[(0.0, -1.0), (nan, 1.0)], &[(1e-9, 1e12), (1e12, 1e-9)], &[(f64::MAX, f64::MIN)]]
    {
        for log in [false, true] {
            for style in [Style::LineAndMarks, Style::Line, Style::Step, Style::Dashed, Style::Stacked] {
                let mut plot = plot(1, points, log);
                plot.panels[0].series.iter_mut().for_each(|series| series.style = style);
                plot.panels[0].series[0].band = Some(vec![(nan, f64::INFINITY)]);
                let svg = plot.to_svg().unwrap();
                assert!(svg.len() > 1000 && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
    assert!(Plot::default().to_svg().unwrap().contains("</svg>"));
}

#[test]
fn odd_bars_do_no_harm() {
    for log in [false, true] {
        for (categories, sets) in [(&[][..], 1), (&["a"], 0), (&["a", "b"], 2)] {
            for stacked in [false, true] {
                for value in [0.0, -1.0, f64::NAN, 1e-200, 1e299] {
                    let mut bars = bars(categories, sets, stacked);
                    bars.sets.iter_mut().flat_map(|set| set.values.iter_mut().take(1)).for_each(|v| *v = value);
                    bars.sets.iter_mut().take(1).for_each(|set| set.whiskers = Some(vec![(f64::NAN, 1.0)]));
                    let svg = with_bars(bars, Axis { log, ..Axis::default() }).to_svg().unwrap();
                    assert!(svg.contains("</svg>") && !svg.contains("NaN"), "{svg}");
                }
            }
        }
    }
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let points: Vec<(f64, f64)> = (1..200).map(|x| (f64::from(x), f64::from(x * x % 37))).collect();
    let svg = || plot(3, &points, true).to_svg().unwrap();
    assert_eq!(svg(), svg());
}

#[test]
fn panels_share_axes_or_have_their_own() {
    let mut shared = plot(2, &[(0.0, 0.0), (10.0, 10.0)], false);
    let ticks = |plot: &Plot, text: &str| texts(&plot.to_svg().unwrap()).iter().filter(|&&t| t == text).count();
    shared.panels[1].series.truncate(1);
    shared.panels[1].series[0].points = vec![(0.0, 0.0), (1000.0, 10.0)];
    shared.panels[1].series[0].band = None;
    assert_eq!(ticks(&shared, "1,000"), 2);
    shared.panels[1].x = Some(Axis { label: "its own".to_string(), ..Axis::default() });
    assert_eq!((ticks(&shared, "1,000"), ticks(&shared, "its own"), ticks(&shared, "to the right")), (1, 1, 1));
}

#[test]
fn what_is_outside_a_fixed_range_is_cut_off() {
    let mut plot = plot(1, &[(0.0, -1000.0), (1.0, 0.5), (2.0, 1000.0)], false);
    plot.y = Axis { from: Some(0.0), to: Some(1.0), ..Axis::default() };
    let svg = plot.to_svg().unwrap();
    assert!(texts(&svg).contains(&"1.0") && !texts(&svg).contains(&"1.2"));
    let height: i32 = svg.split("height=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    for points in svg.split("points=\"").skip(1) {
        for point in points.split('"').next().unwrap().split_whitespace() {
            let y: i32 = point.split_once(',').unwrap().1.parse().unwrap();
            assert!((0..height).contains(&y), "{point}");
        }
    }
    assert_eq!(svg.matches("<circle").count(), 2, "one point and the legend");
}

#[test]
fn bars_show_their_values_where_there_is_room() {
    let texts_of = |bars: Bars| -> Vec<String> {
        texts(&with_bars(bars, Axis::default()).to_svg().unwrap()).iter().map(|text| (*text).to_string()).collect()
    };
    let few = texts_of(bars(&["x", "y"], 2, false));
    for text in ["x", "y", "set 0", "set 1", "0.50", "1.50", "2.50"] {
        assert!(few.iter().any(|t| t == text), "{text} in {few:?}");
    }
    let many = texts_of(bars(&["x"; 20], 5, false));
    assert!(!many.iter().any(|text| text.contains(".50") || text.contains("5.5")), "{many:?}");
    let stacked = texts_of(bars(&["x", "y"], 2, true));
    assert!(!stacked.contains(&"1.50".to_string()), "{stacked:?}");
}

#[test]
fn stacked_areas_stand_on_each_other() {
    let series = |label: &str, y: f64| Series {
        label: label.to_string(),
        points: vec![(0.0, y), (1.0, y)],
        band: None,
        style: Style::Stacked,
    };
    let drawn = [series("a", 1.0), series("b", 2.0), series("c", f64::NAN)];
    let drawn = lines::drawn(&drawn, [false, false]);
    let ends: Vec<(f64, f64)> = drawn.iter().map(|drawn| drawn.ends[1]).collect();
    assert_eq!(ends, [(0.0, 1.0), (1.0, 3.0), (3.0, 3.0)]);
}

#[test]
fn texts_stay_in_the_picture() {
    let long = "a name that somebody made far too long, 20 MHz and 123456789012345678901234567890123456 ".repeat(4);
    let mut plot = plot(2, &[(1e6, 1e-9), (2.5e6, 1e12)], false);
    plot.title.clone_from(&long);
    plot.x.label.clone_from(&long);
    plot.y.label.clone_from(&long);
    plot.panels[0].title.clone_from(&long);
    plot.panels[0].series[0].label.clone_from(&long);
    plot.panels[1].bars = Some(bars(&["name", "a long name", &long], 2, false));
    let svg = plot.to_svg().unwrap();
    for (text, [left, top, right, bottom], [width, height]) in boxes(&svg) {
        let upwards = bottom - top > right - left;
        let (from, to, end) = if upwards { (top, bottom, height) } else { (left, right, width) };
        assert!(from >= 0.0 && to <= end, "{text}: {from} to {to} of {end}");
    }
}

/// Every text of a picture with its left, top, right and bottom, and the size of the picture.
pub(in crate::report) fn boxes(svg: &str) -> Vec<(&str, [f64; 4], [f64; 2])> {
    let attribute = |text: &str, name: &str| -> f64 {
        text.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let size = ["width", "height"].map(|name| attribute(svg, name));
    let of = |element| {
        let em = attribute(element, "font-size");
        let text = element.split_once(">\n").unwrap().1.split_once("\n</text>").unwrap().0;
        let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let long = f64::from(text::width_of(&plain, (em * 1.24).round() as i32));
        let (x, y) = (attribute(element, "x"), attribute(element, "y"));
        let before = match () {
            () if element.contains("\"middle\"") => long / 2.0,
            () if element.contains("\"end\"") => long,
            () => 0.0,
        };
        let above = match () {
            () if element.contains("dy=\"0.76em\"") => 0.0,
            () if element.contains("dy=\"0.5ex\"") => em / 2.0,
            () => em,
        };
        if element.contains("rotate") {
            (text, [x - above, y + before - long, x - above + em, y + before], size)
        } else {
            (text, [x - before, y - above, x - before + long, y - above + em], size)
        }
    };
    svg.split("<text").skip(1).map(of).collect()
}
