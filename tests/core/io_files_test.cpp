// Atomic saving and what happens when it fails; reading whole files; JSON from outside; folders.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/paths.h"
#include "tests/support/error_text.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

namespace fs = std::filesystem;
using test::bytes_of;
using test::error_of;
using test::TemporaryFolder;

/// No file may grow above `bytes` while this lives: the nearest that a test comes to a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST(AtomicFile, ReplacesAndKeepsThePreviousGeneration) {
  const TemporaryFolder folder;
  const fs::path file = folder / "model.bin";
  write_file_atomically(file, "one");
  EXPECT_EQ(bytes_of(file), "one");
  write_file_atomically(file, "two", true);
  EXPECT_EQ(bytes_of(file), "two");
  EXPECT_EQ(bytes_of(previous_generation(file)), "one");
  write_file_atomically(file, "three", true);
  EXPECT_EQ(bytes_of(file), "three");
  EXPECT_EQ(bytes_of(previous_generation(file)), "two");
  write_file_atomically(file, "four");
  EXPECT_EQ(bytes_of(previous_generation(file)), "two");
  EXPECT_EQ(folder.files(), 2u);
}

TEST(AtomicFile, KeepsNothingWhenThereWasNothing) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "x", true);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(AtomicFile, KeepsWorkingWhenPreviousIsTheSameFile) {
  const TemporaryFolder folder;
  const fs::path file = folder / "a";
  write_file_atomically(file, "one");
  fs::create_hard_link(file, previous_generation(file));
  write_file_atomically(file, "two", true);
  EXPECT_EQ(bytes_of(file), "two");
  EXPECT_EQ(bytes_of(previous_generation(file)), "one");
  EXPECT_EQ(folder.files(), 2u);
}

TEST(AtomicFile, HonoursTheUmask) {
  const TemporaryFolder folder;
  const mode_t old = umask(027);
  write_file_atomically(folder / "a", "x");
  umask(old);
  EXPECT_EQ(fs::status(folder / "a").permissions(), fs::perms(0640));
}

TEST(AtomicFile, LeavesTheOldFileWhenItIsAbandoned) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("a", "old");
  {
    AtomicFile unfinished(file);
    unfinished.write("new", 3);
    EXPECT_EQ(folder.files(), 2u);
  }
  EXPECT_EQ(bytes_of(file), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(AtomicFile, LeavesTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  const fs::path file = folder.write("checkpoint", "old");
  std::string sentence;
  {
    const FileSizeLimit limit(1 << 16);
    sentence = error_of([&] { write_file_atomically(file, std::string(1 << 20, 'x'), true); });
  }
  EXPECT_SAYS(sentence, file.string());
  EXPECT_SAYS(sentence, "could not be saved");
  EXPECT_SAYS(sentence, "choose another folder");
  EXPECT_EQ(bytes_of(file), "old");
  EXPECT_EQ(folder.files(), 1u);  // neither a temporary file nor a generation is left
}

TEST(AtomicFile, SaysWhyAFolderDoesNotWork) {
  const TemporaryFolder folder;
  const fs::path missing = folder / "missing" / "a";
  EXPECT_SAYS(error_of([&] { return write_file_atomically(missing, "x"); }), "its folder does not exist");
  EXPECT_SAYS(error_of([&] { return write_file_atomically(missing, "x"); }), missing.string());
  const fs::path file = folder.write("file", "x");
  EXPECT_SAYS(error_of([&] { return write_file_atomically(file / "a", "x"); }), "is a file, not a folder");
  EXPECT_SAYS(error_of([&] { return write_file_atomically(folder.path(), "x"); }), "it is a folder");
  EXPECT_SAYS(error_of([&] { return write_file_atomically("", "x"); }), "give the name of a file");
  EXPECT_SAYS(error_of([&] { return write_file_atomically(folder / std::string(300, 'n'), "x"); }),
              "its name is too long");
  EXPECT_SAYS(error_of([&] { return make_folder(file / "sub"); }), "could not be created");
  EXPECT_SAYS(error_of([&] { return make_folder(file); }), "could not be created");
  // /proc refuses new files even to root, as a folder without permission does to others.
  EXPECT_SAYS(error_of([&] { return write_file_atomically("/proc/headlight", "x"); }),
              "/proc/headlight could not be saved");
}

TEST(ReadWholeFile, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_whole_file(folder.write("a", std::string("x\0y", 3)), 3, "text"), std::string("x\0y", 3));
  EXPECT_SAYS(error_of([&] { return read_whole_file(folder / "none", 9, "text"); }), "the text file");
  EXPECT_SAYS(error_of([&] { return read_whole_file(folder / "none", 9, "text"); }), "does not exist");
  EXPECT_SAYS(error_of([&] { return read_whole_file(folder.path(), 9, "text"); }), "is a folder");
  EXPECT_SAYS(error_of([&] { return read_whole_file(folder / "a", 2, "text"); }),
              "has 3 bytes, more than the 2");
  EXPECT_SAYS(error_of([&] { return read_whole_file(folder / "a" / "b", 9, "text"); }), "cannot be opened");
  EXPECT_SAYS(error_of([&] { return read_whole_file("/dev/null", 9, "text"); }), "not a regular file");
  const fs::path pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_SAYS(error_of([&] { return read_whole_file(pipe, 9, "text"); }),
              "not a regular file");  // and does not hang
}

TEST(Json, ParsesWhatIsValid) {
  const nlohmann::json value =
      parse_json(R"( {"a": [1, -2, 2.5, true, null, "ữ"], "b": {"a": {}}} )", "here");
  EXPECT_EQ(value, nlohmann::json::parse(R"({"a": [1, -2, 2.5, true, null, "ữ"], "b": {"a": {}}})"));
  EXPECT_EQ(parse_json("7", "here"), 7);
  EXPECT_EQ(parse_json("[[],[[]],{}]", "here").dump(), "[[],[[]],{}]");
}

TEST(Json, RefusesWhatIsNot) {
  const auto says = [](std::string_view text, const JsonLimits& limits = {}) {
    return error_of([&] { return parse_json(text, "settings.json", limits); });
  };
  for (const char* text :
       {"", "{", "[1,]", "{\"a\":}", "1 2", "nul", "\"a", "{'a':1}", "[1e999]", "01", "\"\\ud800\""}) {
    EXPECT_SAYS(says(text), "settings.json is not valid JSON") << text;
  }
  EXPECT_SAYS(says("{\"a\":1,\"b\":2,\"a\":3}"), "settings.json has the key “a” twice");
  EXPECT_SAYS(says("[{\"x\":{\"y\":1,\"y\":1}}]"), "the key “y” twice");
  EXPECT_SAYS(says(std::string(65, '[') + std::string(65, ']')), "more than 64 deep");
  EXPECT_EQ(says(std::string(64, '[') + std::string(64, ']')), "no error");
  EXPECT_SAYS(says(std::string(1'000'000, '[')), "more than 64 deep");
  EXPECT_SAYS(says("[1,2,3]", {.max_values = 3}), "more than 3 values");
  EXPECT_SAYS(says("[1,2,3]", {.max_bytes = 6}), "has 7 bytes, more than the 6");
  EXPECT_SAYS(says("\"\xC3\x28\""), "not UTF-8 text: byte 1 is \\xC3");
  EXPECT_SAYS(says(std::string("[1]\0", 4)), "not valid JSON");
}

TEST(Json, FileRoundTrip) {
  const TemporaryFolder folder;
  const nlohmann::json value{{"name", "đèn pha"}, {"size", 3}};
  write_json_file(folder / "a.json", value);
  EXPECT_EQ(read_json_file(folder / "a.json", "settings"), value);
  EXPECT_SAYS(error_of([&] { return read_json_file(folder / "b.json", "settings"); }), "the settings file");
  folder.write("c.json", "{");
  EXPECT_SAYS(error_of([&] { return read_json_file(folder / "c.json", "settings"); }),
              (folder / "c.json").string());
}

/// Sets a variable of the environment until the end of the scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) {
      old_ = old;
      was_set_ = true;
    }
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~Variable() { was_set_ ? setenv(name_, old_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::string old_;
  bool was_set_ = false;
};

TEST(Paths, FollowXdg) {
  const Variable home("HOME", "/home/an");
  {
    const Variable a("XDG_CONFIG_HOME", nullptr), b("XDG_DATA_HOME", nullptr), c("XDG_STATE_HOME", nullptr);
    EXPECT_EQ(config_folder(), "/home/an/.config/headlight");
    EXPECT_EQ(data_folder(), "/home/an/.local/share/headlight");
    EXPECT_EQ(state_folder(), "/home/an/.local/state/headlight");
  }
  {
    const Variable a("XDG_CONFIG_HOME", "/c"), b("XDG_DATA_HOME", "/d"), c("XDG_STATE_HOME", "relative");
    EXPECT_EQ(config_folder(), "/c/headlight");
    EXPECT_EQ(data_folder(), "/d/headlight");
    EXPECT_EQ(state_folder(), "/home/an/.local/state/headlight");
  }
  const Variable no_home("HOME", nullptr), a("XDG_CONFIG_HOME", nullptr);
  EXPECT_SAYS(error_of([] { return config_folder(); }), "set HOME or XDG_CONFIG_HOME");
}

TEST(Paths, FindAssetsWhereTheVariableSays) {
  const TemporaryFolder folder;
  folder.write("lesson.txt", "x");
  const Variable assets("HEADLIGHT_ASSETS", folder.path().c_str());
  EXPECT_EQ(find_asset("lesson.txt"), folder / "lesson.txt");
  EXPECT_EQ(find_asset("core/io/paths.h"), test::source_folder() / "core/io/paths.h");
  EXPECT_SAYS(error_of([] { return find_asset("no/such"); }), "no/such was not found in");
  EXPECT_SAYS(error_of([] { return find_asset("no/such"); }), folder.path().string());
}

}  // namespace
}  // namespace headlight
