// See json.h.
#include "core/io/json.h"

#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"

namespace headlight {

using nlohmann::json;

namespace {

/// Builds the value while it counts. Throws Error itself, which leaves the parser at once.
class LimitedBuilder : public nlohmann::json_sax<json> {
 public:
  LimitedBuilder(std::string_view where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  json take() { return std::move(root_); }

  bool null() override { return add(json(nullptr)); }
  bool boolean(bool value) override { return add(json(value)); }
  bool number_integer(number_integer_t value) override { return add(json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(json(value)); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(json(value)); }
  bool string(string_t& value) override { return add(json(std::move(value))); }
  // JSON text has no binary values; the interface wants the function because CBOR has.
  bool binary(binary_t& value) override { return add(json(std::move(value))); }

  bool start_object(std::size_t /*elements*/) override { return open(json::object()); }
  bool start_array(std::size_t /*elements*/) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      fail("{} has the key {} twice in one object; keep one of them", where_, quote(name));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    // The library's message begins with "[json.exception.…] "; a person needs what comes after.
    std::string_view message = error.what();
    if (const size_t end = message.find("] "); end != std::string_view::npos) message.remove_prefix(end + 2);
    fail("{} is not valid JSON at byte {}: {}", where_, position, printable(message, 300));
  }

 private:
  bool add(json&& value) {
    place(std::move(value));
    return true;
  }

  bool open(json&& container) {
    if (static_cast<int64_t>(open_.size()) >= limits_.max_depth) {
      fail("{} has arrays and objects more than {} deep, so it is not read", where_, limits_.max_depth);
    }
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  /// Puts a value where the parser stands. Pointers to open containers stay valid: a container only grows
  /// while it is the innermost open one, so no element of it is open then.
  json* place(json&& value) {
    if (++values_ > limits_.max_values) {
      fail("{} holds more than {} values, so it is not read", where_, limits_.max_values);
    }
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  std::string_view where_;
  JsonLimits limits_;
  json root_;
  std::vector<json*> open_;
  std::string key_;
  int64_t values_ = 0;
};

}  // namespace

json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail("{} has {} bytes, more than the {} that are read", where, text.size(), limits.max_bytes);
  }
  if (const size_t valid = valid_utf8_length(text); valid < text.size()) {
    fail("{} is not UTF-8 text: byte {} is \\x{:02X}", where, valid, static_cast<unsigned char>(text[valid]));
  }
  // The library takes a zero byte for the end of the text and would not see what stands behind it.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    fail("{} is not valid JSON at byte {}: a zero byte stands there", where, zero);
  }
  LimitedBuilder builder(where, limits);
  json::sax_parse(text, &builder);
  return builder.take();
}

json read_json_file(const std::filesystem::path& file, std::string_view what, const JsonLimits& limits) {
  return parse_json(read_whole_file(file, limits.max_bytes, what), file.string(), limits);
}

void write_json_file(const std::filesystem::path& file, const json& value, bool keep_previous) {
  write_file_atomically(file, value.dump(2, ' ', false, json::error_handler_t::replace) + "\n",
                        keep_previous);
}

}  // namespace headlight
