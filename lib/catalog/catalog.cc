// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "lib/catalog/root_directory.h"
#include "lib/catalog/root_scan.h"
#include "lib/catalog/scanned_directory.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

using ModelOr = absl::StatusOr<std::shared_ptr<const Model>>;

// Returns true if the open files have not changed since they were opened. They may have been renamed or removed.
bool IsIntact(const Model& model) {
  return std::ranges::all_of(model.files(), [](const ModelFile& file) {
    return file.kind == ModelFile::Kind::kCompanion || file.file->CheckUnchanged().ok();
  });
}

bool HasIndex(const Model& model) {
  return std::ranges::find(model.files(), ModelFile::Kind::kIndex, &ModelFile::kind) != model.files().end();
}

// Returns true if `scanned`, which cannot be served, may be a bad replacement of `old`, the directory's model before.
// Without an index, the model consists of whatever is in the directory. If files are gone, or files were added that do
// not fit, it is not a replacement: keeping the old model would keep its deleted files open for ever.
bool MayReplace(const ScannedDirectory& scanned, const Model& old) {
  if (HasIndex(old)) return true;
  const auto is_gone = [&](const ModelFile& file) {
    return file.tensors != nullptr && !scanned.files.contains(file.name);
  };
  if (std::ranges::any_of(old.files(), is_gone)) return false;
  const auto is_index = [](const auto& file) { return file.second->kind == ModelFile::Kind::kIndex; };
  const auto is_bad = [](const auto& model) { return !model.second.ok(); };
  return std::ranges::any_of(scanned.files, is_index) || std::ranges::any_of(scanned.file_models, is_bad) ||
         static_cast<std::size_t>(old.safetensors_file_count()) == scanned.file_models.size();
}

bool Same(const Catalog::Entry& a, const Catalog::Entry& b) {
  if (a.listed != b.listed || a.replacement != b.replacement || a.model.ok() != b.model.ok()) return false;
  return a.model.ok() ? *a.model == *b.model : a.model.status() == b.model.status();
}

// Makes the entries of a catalog from the results of a scan. If a model cannot be served, its entry keeps the one of
// the scan before.
class EntryMaker {
 public:
  explicit EntryMaker(const Catalog::Entries& before) : before_(before) {}

  void AddDirectory(const std::string& path, const ScannedDirectory& scanned) {
    if (scanned.files.empty()) return;
    Catalog::Entry whole = Choose(path, scanned.whole);
    if (!whole.replacement.ok() && !MayReplace(scanned, **whole.model)) whole = {scanned.whole, true, absl::OkStatus()};
    const Model* model = whole.model.ok() ? whole.model->get() : nullptr;
    const bool has_index = model != nullptr && HasIndex(*model);
    const bool only_file = model != nullptr && !has_index && path != "." && scanned.file_models.size() == 1;
    for (const auto& [name, file_model] : scanned.file_models) {
      std::string file_path = JoinPath(path, name);
      Catalog::Entry entry = Choose(file_path, file_model);
      entry.listed = !only_file && !(has_index && model->FindFile(name) != nullptr);
      entries_.insert_or_assign(std::move(file_path), std::move(entry));
    }
    entries_.insert_or_assign(path, std::move(whole));
  }

  // For a directory that cannot be listed.
  void AddUnreadable(const std::string& path, const absl::Status& status) {
    for (auto it = before_.lower_bound(path); it != before_.end() && it->first.starts_with(path); ++it) {
      if (!IsInOrBeneath(it->first, path)) continue;
      Catalog::Entry entry = Choose(it->first, status);
      entry.listed = it->second.listed;
      entries_.insert_or_assign(it->first, std::move(entry));
    }
    // Show the directory with the reason, unless it has just vanished.
    if (!absl::IsNotFound(status)) entries_.emplace(path, Catalog::Entry{status, true, absl::OkStatus()});
  }

  Catalog::Entries Finish() && { return std::move(entries_); }

 private:
  // Returns the entry for `name`, under which the scan has found `found`.
  Catalog::Entry Choose(const std::string& name, const ModelOr& found) const {
    if (!found.ok()) {
      const auto before = before_.find(name);
      if (before != before_.end() && before->second.model.ok() && IsIntact(**before->second.model)) {
        return {before->second.model, true, found.status()};
      }
    }
    return {found, true, absl::OkStatus()};
  }

  const Catalog::Entries& before_;
  Catalog::Entries entries_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Catalog>> Catalog::Reload(const std::string& root,
                                                               const std::shared_ptr<const Catalog>& previous,
                                                               const LoadOptions& options) {
  const Catalog empty;
  const Catalog& before = previous == nullptr ? empty : *previous;
  absl::StatusOr<RootDirectory> directory = RootDirectory::Open(root);
  if (!directory.ok()) return directory.status();
  absl::StatusOr<RootScan> scan = ScanRoot(*directory, options, before.directories_);
  if (!scan.ok()) return scan.status();
  if (options.stop.stop_requested()) return absl::CancelledError("the scan was stopped");

  EntryMaker maker(before.entries_);
  for (const auto& [path, scanned] : scan->directories) maker.AddDirectory(path, *scanned);
  for (const auto& [path, status] : scan->unreadable) maker.AddUnreadable(path, status);
  const std::shared_ptr<Catalog> catalog(new Catalog());
  catalog->directories_ = std::move(scan->directories);
  catalog->entries_ = std::move(maker).Finish();

  const auto same = [](const auto& a, const auto& b) { return a.first == b.first && Same(a.second, b.second); };
  if (previous != nullptr && catalog->directories_ == before.directories_ &&
      std::ranges::equal(catalog->entries_, before.entries_, same)) {
    return previous;
  }
  return catalog;
}

Catalog::Counts Catalog::CountListed() const {
  Counts counts;
  for (const auto& [name, entry] : entries_) {
    if (entry.listed) ++(entry.model.ok() ? counts.ready : counts.failed);
  }
  return counts;
}

std::set<std::string> Catalog::directories() const {
  std::set<std::string> directories;
  for (const auto& [path, scanned] : directories_) {
    directories.insert(path);
    for (const auto& [name, file] : scanned->files) {
      if (!file->link_directory.empty()) directories.insert(file->link_directory);
    }
  }
  return directories;
}

absl::StatusOr<std::shared_ptr<const Model>> Catalog::Find(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return NoSuchModel(name);
  const absl::StatusOr<std::shared_ptr<const Model>>& model = entry->second.model;
  if (model.ok()) return model;
  return absl::FailedPreconditionError(
      fmt::format("model {} cannot be served: {}", Quote(name), std::string(model.status().message())));
}

absl::Status NoSuchModel(std::string_view name) {
  return absl::NotFoundError(fmt::format("there is no model {} under the root", Quote(name)));
}

}  // namespace tensorferry
