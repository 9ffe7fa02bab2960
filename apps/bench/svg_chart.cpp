#include "apps/bench/svg_chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "apps/bench/summary.hpp"

namespace kai::bench {

namespace {

constexpr double width = 640, height = 300, left = 70, right = 16, top = 34, bottom = 46;

constexpr std::array<const char*, 8> colours{"#1f6fb4", "#d9480f", "#2b8a3e", "#862e9c",
                                             "#b08900", "#0b7285", "#c2255c", "#495057"};

std::string number(double x) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%.1f", x);
  return buffer.data();
}

// Where a value lies on its axis, before it is stretched over the drawing.
double place(axis_kind kind, double value) {
  switch (kind) {
  case axis_kind::latency: return std::log10(std::max(value, 1.0));
  case axis_kind::percentile: return -std::log10(std::max(1 - value / 100, 1e-7));
  default: return value;
  }
}

struct axis {
  axis_kind kind;
  double min = 0;
  double max = 1;

  double fraction(double value) const { return (place(kind, value) - min) / (max - min); }
};

axis fit(axis_kind kind, const std::vector<double>& values) {
  axis result{kind};
  if (values.empty())
    return result;
  auto [low, high] = std::minmax_element(values.begin(), values.end());
  result.max = place(kind, *high);
  if (kind == axis_kind::latency) {
    result.min = std::floor(place(kind, *low));
    result.max = std::max(std::ceil(result.max), result.min + 1);
  }
  if (kind == axis_kind::percentile)
    result.max = std::max(std::ceil(result.max * 2) / 2, 1.0);
  if (result.max <= result.min)
    result.max = result.min + 1;
  return result;
}

std::vector<double> ticks(const axis& a) {
  std::vector<double> result;
  if (a.kind == axis_kind::latency) {
    for (auto power = a.min; power <= a.max; ++power)
      result.push_back(std::pow(10, power));
  } else if (a.kind == axis_kind::percentile) {
    for (auto percent : {0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999})
      if (place(a.kind, percent) <= a.max + 1e-9)
        result.push_back(percent);
  } else {
    auto rough = a.max / 5;
    auto power = std::pow(10, std::floor(std::log10(rough)));
    auto step = rough / power > 5 ? 10 * power : rough / power > 2 ? 5 * power : 2 * power;
    for (double at = 0; at <= a.max * 1.0001; at += step)
      result.push_back(at);
  }
  return result;
}

std::string tick_text(axis_kind kind, double value) {
  if (kind == axis_kind::latency)
    return human_time(value);
  std::array<char, 32> buffer{};
  if (kind == axis_kind::percentile)
    std::snprintf(buffer.data(), buffer.size(), "%.7g%%", value);
  else if (value >= 10'000)
    std::snprintf(buffer.data(), buffer.size(), "%.4gk", value / 1000);
  else
    std::snprintf(buffer.data(), buffer.size(), "%.4g", value);
  return buffer.data();
}

double x_at(const axis& a, double value) {
  return left + std::clamp(a.fraction(value), 0.0, 1.0) * (width - left - right);
}

double y_at(const axis& a, double value) {
  return height - bottom - std::clamp(a.fraction(value), 0.0, 1.0) * (height - top - bottom);
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" +
         escape_html(text) + "</text>\n";
}

std::string grid(const chart& what, const axis& x, const axis& y) {
  std::string out;
  for (auto value : ticks(x)) {
    auto at = number(x_at(x, value));
    out += "<line class=\"grid\" x1=\"" + at + "\" x2=\"" + at + "\" y1=\"" + number(top) +
           "\" y2=\"" + number(height - bottom) + "\"/>\n";
    out += text_at(x_at(x, value), height - bottom + 15, "middle", tick_text(what.x, value));
  }
  for (auto value : ticks(y)) {
    auto at = number(y_at(y, value));
    out += "<line class=\"grid\" x1=\"" + number(left) + "\" x2=\"" + number(width - right) +
           "\" y1=\"" + at + "\" y2=\"" + at + "\"/>\n";
    out += text_at(left - 6, y_at(y, value) + 4, "end", tick_text(what.y, value));
  }
  return out + text_at((left + width - right) / 2, height - 10, "middle", what.x_title);
}

std::string drawn_line(const chart_line& line, const axis& x, const axis& y) {
  // As a path: each M begins after a gap. One point alone is drawn as a dot, by its round end.
  std::string steps;
  auto begins = true;
  for (const auto& [a, b] : line.points) {
    if (!std::isnan(b)) {
      auto at = number(x_at(x, a)) + " " + number(y_at(y, b)) + " ";
      steps += begins ? "M" + at + "L" + at : "L" + at;
    }
    begins = std::isnan(b);
  }
  return std::string{
             "<path fill=\"none\" stroke-width=\"1.6\" stroke-linecap=\"round\" stroke=\""} +
         colour_of(line.colour) + "\"" + (line.dashed ? " stroke-dasharray=\"5 3\"" : "") +
         " d=\"" + steps + "\"><title>" + escape_html(line.name) + "</title></path>\n";
}

} // namespace

const char* colour_of(size_t index) { return colours[index % colours.size()]; }

std::string escape_html(const std::string& text) {
  std::string out;
  for (auto c : text) {
    switch (c) {
    case '&': out += "&amp;"; break;
    case '<': out += "&lt;"; break;
    case '>': out += "&gt;"; break;
    case '"': out += "&quot;"; break;
    default: out.push_back(c);
    }
  }
  return out;
}

std::string draw(const chart& what) {
  std::vector<double> xs, ys;
  for (const auto& line : what.lines) {
    for (const auto& [x, y] : line.points) {
      // 100 % is infinitely far away; the line's end is drawn at the edge.
      if (what.x != axis_kind::percentile || x < 100)
        xs.push_back(x);
      if (!std::isnan(y))
        ys.push_back(y);
    }
  }
  auto x = fit(what.x, xs);
  auto y = fit(what.y, ys);
  auto out = "<svg viewBox=\"0 0 " + number(width) + " " + number(height) + "\" role=\"img\">\n" +
             "<text class=\"title\" x=\"" + number(left) + "\" y=\"20\">" +
             escape_html(what.title) + "</text>\n" + grid(what, x, y);
  for (const auto& line : what.lines)
    out += drawn_line(line, x, y);
  return out + "</svg>\n";
}

} // namespace kai::bench
