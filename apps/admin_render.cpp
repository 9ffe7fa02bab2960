#include "apps/admin_render.hpp"

#include <algorithm>
#include <vector>

#include <spdlog/fmt/fmt.h>

namespace kai {

namespace {

using json = nlohmann::json;

/// Columns as wide as their widest cell; numbers to the right.
class table {
public:
  explicit table(std::vector<std::string> titles) { add(std::move(titles)); }

  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  std::string text() const {
    std::vector<size_t> widths(rows_.front().size());
    std::vector<bool> numeric(widths.size(), rows_.size() > 1);
    for (size_t row = 0; row < rows_.size(); ++row)
      for (size_t i = 0; i < widths.size(); ++i) {
        widths[i] = std::max(widths[i], rows_[row][i].size());
        numeric[i] = numeric[i] && (row == 0 || is_number(rows_[row][i]));
      }
    std::string result;
    for (auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i)
        line += numeric[i] ? fmt::format("{:>{}}  ", row[i], widths[i])
                           : fmt::format("{:<{}}  ", row[i], widths[i]);
      result += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return result;
  }

private:
  static bool is_number(const std::string& text) {
    return !text.empty() && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) &&
           text.find_first_not_of("-0123456789. KMGTiB%") == std::string::npos;
  }

  std::vector<std::vector<std::string>> rows_;
};

/// Names, keys and reasons come from elsewhere: nothing of them may steer the terminal.
std::string printable(const std::string& text) {
  std::string result;
  for (auto c : text) {
    auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string{c};
  }
  return result;
}

/// A value in one cell.
std::string cell(const json& x) {
  if (x.is_null() || (x.is_string() && x.get_ref<const std::string&>().empty()))
    return "-";
  if (x.is_string())
    return printable(x.get<std::string>());
  if (x.is_boolean())
    return x.get<bool>() ? "yes" : "no";
  if (x.is_array()) {
    std::string result;
    for (auto& item : x)
      result += (result.empty() ? "" : " ") + cell(item);
    return result.empty() ? "-" : result;
  }
  return printable(x.dump(-1, ' ', false, json::error_handler_t::replace));
}

std::string cell(const json& row, const char* name) {
  auto i = row.find(name);
  if (i == row.end())
    return "-";
  if (std::string_view{name} == "bytes" && i->is_number())
    return human_bytes(i->get<double>());
  if (std::string_view{name} == "done" && i->is_number())
    return fmt::format("{:.0f} %", i->get<double>() * 100);
  return cell(*i);
}

bool is_rows(const json& x) {
  return x.is_array() && !x.empty() &&
         std::all_of(x.begin(), x.end(), [](auto& row) { return row.is_object(); });
}

std::string rows(const json& list, const std::vector<const char*>& columns) {
  table result{{columns.begin(), columns.end()}};
  for (auto& row : list) {
    std::vector<std::string> cells;
    for (auto name : columns)
      cells.push_back(cell(row, name));
    result.add(std::move(cells));
  }
  return result.text();
}

/// A list whose columns nobody has chosen: those of its rows, in the order they come.
std::string rows(const json& list) {
  std::vector<const char*> columns;
  for (auto& row : list)
    for (auto& [name, value] : row.items())
      if (std::none_of(columns.begin(), columns.end(), [&](auto x) { return name == x; }))
        columns.push_back(name.c_str());
  return rows(list, columns);
}

/// Simple values first, then the lists.
std::string render_any(const json& document) {
  if (!document.is_object())
    return is_rows(document) ? rows(document) : cell(document) + "\n";
  std::string result;
  for (auto& [name, value] : document.items())
    if (!is_rows(value))
      result += printable(name) + ": " + cell(document, name.c_str()) + "\n";
  for (auto& [name, value] : document.items())
    if (is_rows(value))
      result += (result.empty() ? "" : "\n") + printable(name) + ":\n" + rows(value);
  return result;
}

std::string reasons(const json& status) {
  std::string result;
  for (auto& x : status.value("waiting_for", json::array()))
    result += "  " + cell(x) + "\n";
  return result;
}

/// Empty: nothing is on its way.
std::string moves_line(const json& status) {
  auto progress = status.is_object() ? status.value("progress", json()) : json();
  if (!progress.is_object())
    return {};
  auto left = progress.value("remaining_seconds", json());
  return fmt::format("{:.0f} % moved, {}/s", progress.value("done", 0.0) * 100,
                     human_bytes(progress.value("bytes_per_second", 0.0))) +
         (left.is_number() ? ", about " + left.dump() + " s to go" : "");
}

std::string render_status(const json& status) {
  auto settled = status.value("settled", false);
  auto result = fmt::format("epoch {}, {}\n", cell(status, "epoch"),
                            settled ? "settled" : "not settled, waiting for:");
  result += reasons(status);
  if (auto moved = moves_line(status); !moved.empty())
    result += moved + "\n";
  if (auto warning = status.value("warning", ""); !warning.empty())
    result += "warning: " + printable(warning) + "\n";
  result += "\n";
  return result + rows(status.at("members"), {"name", "zone", "state", "memcache", "cluster",
                                              "partitions", "keys", "bytes", "hints"});
}

std::string render_ring(const json& ring) {
  auto result =
      fmt::format("epoch {}, {} partitions\n\n", cell(ring, "epoch"), ring.at("partitions").size());
  result += rows(ring.at("partitions"), {"partition", "replicas"});
  auto& moves = ring.at("moves");
  if (moves.empty())
    return result + "\nno moves under way\n";
  return result + "\nmoves under way:\n" + rows(moves, {"partition", "from", "to", "done"});
}

std::string render_plan(const json& plan) {
  auto result = fmt::format("{} replicas of partitions would move: about {} keys, {}\n",
                            cell(plan, "partitions"), cell(plan, "keys"), cell(plan, "bytes"));
  for (auto& x : plan.at("warnings"))
    result += "warning: " + cell(x) + "\n";
  result += "\n" + rows(plan.at("members"),
                        {"name", "zone", "partitions", "partitions_then", "leads_then"});
  return result + "\n" + rows(plan.at("zones"), {"zone", "partitions_then"});
}

std::string render_locate(const json& key) {
  auto result = fmt::format("key {}, partition {}\n\n", cell(key, "key"), cell(key, "partition"));
  return result + rows(key.at("replicas"), {"name", "state", "version", "bytes", "deleted"});
}

} // namespace

std::string render(const std::string& command, const json& document) {
  try {
    if (command == "status" || command == "wait-settled" || command == "leave" ||
        command == "remove" || command == "abort")
      return render_status(document);
    if (command == "backup" || command == "restore")
      return fmt::format("{}: {} partitions, {} keys, {}\n",
                         command == "backup" ? "copied" : "restored", cell(document, "partitions"),
                         cell(document, "keys"), cell(document, "bytes"));
    if (command == "plan")
      return render_plan(document);
    if (command == "ring")
      return render_ring(document);
    if (command == "locate")
      return render_locate(document);
  } catch (const json::exception&) {
    // Another version's document; shown as it is.
  }
  return render_any(document);
}

std::string render_progress(const json& status) {
  auto waiting = status.is_object() ? status.value("waiting_for", json::array()) : json::array();
  auto moved = moves_line(status);
  if (waiting.empty())
    return moved.empty() ? "waiting" : moved;
  auto more = waiting.size() > 1 ? fmt::format(" (and {} more)", waiting.size() - 1) : "";
  return moved + (moved.empty() ? "" : "; ") + "waiting for " + cell(waiting.front()) + more;
}

bool change_is_over(const json& status, const std::string& command,
                    const std::vector<std::string>& arguments) {
  try {
    if (command == "abort")
      return status.at("moves") == 0 &&
             std::none_of(status.at("members").begin(), status.at("members").end(), [](auto& m) {
               return m.at("state") == "joining" || m.at("state") == "leaving";
             });
    return std::none_of(status.at("members").begin(), status.at("members").end(),
                        [&](auto& m) { return m.at("name") == arguments.at(0); });
  } catch (const json::exception&) {
    return false;
  }
}

std::string status_problem(const json& status) {
  try {
    for (auto& x : status.at("members"))
      if (x.at("state") != "up")
        return cell(x, "name") + " is " + cell(x, "state");
    return status.at("settled").get<bool>() ? "" : "not settled: " + render_progress(status);
  } catch (const json::exception& err) {
    return std::string{"the node's answer is no status: "} + err.what();
  }
}

std::string human_bytes(double bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit)
    bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

} // namespace kai
