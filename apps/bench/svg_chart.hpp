#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace kai::bench {

/// In the place of a number: the line has a gap here.
inline constexpr double no_value = std::numeric_limits<double>::quiet_NaN();

/// One line of a chart.
struct chart_line {
  std::string name;
  std::vector<std::pair<double, double>> points;
  /// Which colour; lines of one run share it.
  size_t colour = 0;
  bool dashed = false;
};

/// What the numbers of an axis are.
enum class axis_kind {
  /// Plain numbers from 0.
  count,
  /// Microseconds, in powers of ten.
  latency,
  /// Percent from 0 to ever closer to 100: every further nine takes as much room.
  percentile,
};

struct chart {
  std::string title;
  std::string x_title;
  axis_kind x = axis_kind::count;
  axis_kind y = axis_kind::count;
  std::vector<chart_line> lines;
};

/// An <svg> element with axes, grid, lines and a legend.
std::string draw(const chart& what);

/// The colour of a run.
const char* colour_of(size_t index);

/// The text with the characters that mean something in HTML replaced.
std::string escape_html(const std::string& text);

} // namespace kai::bench
