#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

/// What kai-admin shows: pure functions from a document (interface.md) to text.
namespace kai {

/// The document of `command` for people: aligned tables, and lines of `name: value` for what is no
/// list. Ends with a line break. A document of an unexpected shape is still shown.
std::string render(const std::string& command, const nlohmann::json& document);

/// One line about a status document: how far the moves under way are, how fast they are and how
/// long the rest may take, and how far the cluster is from settled.
std::string render_progress(const nlohmann::json& status);

/// Whether a leave or remove (the member is out) or an abort (nothing is under way) has come to its
/// end. `arguments`: as given, the member's name first.
bool change_is_over(const nlohmann::json& status, const std::string& command,
                    const std::vector<std::string>& arguments);

/// Why `kai-admin status` does not end with 0: a member that is not up, or a cluster that is not
/// settled. Empty: all is well.
std::string status_problem(const nlohmann::json& status);

/// Bytes with two or three digits, as in "1.5 MiB".
std::string human_bytes(double bytes);

} // namespace kai
