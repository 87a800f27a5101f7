// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_TABLE_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_TABLE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tensorferry::cli {

// Returns the number of terminal columns of `text`, which is escaped: its code points.
std::size_t DisplayWidth(std::string_view text);

// Aligned columns of text.
class Table {
 public:
  enum class Align { kLeft, kRight };

  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns);

  // Adds a row of at most as many cells as there are columns. Cells are escaped text.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  // Returns the title line and one line per row. Columns are two spaces apart; lines do not end with spaces.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;  // the first holds the titles
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_TABLE_H_
