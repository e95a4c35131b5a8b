#include <openssl/x509v3.h>

#include <algorithm>

#include "peer_auth.h"
#include "server_name.h"

namespace nest_hsm {
namespace {

/// The subject alternative names of one kind, whatever octets they hold.
std::vector<std::string> NamesOf(const X509* certificate, int kind) {
  const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> found;
  for (int index = 0; names != nullptr && index < sk_GENERAL_NAME_num(names.get()); ++index) {
    int type = 0;
    const auto* value = static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), index), &type));
    if (type != kind) continue;
    found.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<size_t>(ASN1_STRING_length(value)));
  }
  return found;
}

bool MatchesDns(const std::string& pattern, const std::string& name) {
  const std::string lower = LowerCase(name);
  const std::string wanted = LowerCase(pattern);
  if (wanted.rfind("*.", 0) != 0) return lower == wanted;
  const size_t dot = lower.find('.');
  return dot != std::string::npos && dot > 0 && lower.compare(dot, std::string::npos, wanted, 1) == 0;
}

/// The domain's case does not matter, the mailbox's does (RFC 5280 §7.5).
bool MatchesEmail(const std::string& pattern, const std::string& mailbox) {
  const size_t at = mailbox.rfind('@');
  const size_t wanted = pattern.rfind('@');
  if (at == std::string::npos || at == 0 || wanted == std::string::npos) return false;
  const bool same_domain = LowerCase(mailbox.substr(at)) == LowerCase(pattern.substr(wanted));
  return same_domain && (wanted == 0 || mailbox.compare(0, at, pattern, 0, wanted) == 0);
}

bool MatchesUri(const std::string& pattern, const std::string& uri) {
  if (pattern.size() < 2 || pattern.compare(pattern.size() - 2, 2, "/*") != 0) return uri == pattern;
  const size_t prefix = pattern.size() - 1;
  return uri.size() > prefix && uri.compare(0, prefix, pattern, 0, prefix) == 0;
}

std::string SubjectOf(const X509* certificate) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr ||
      X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0) {
    return {};
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : std::string();
}

}  // namespace

bool ClientRule::Matches(const X509* certificate) const {
  const auto any = [this](const std::vector<std::string>& names, bool (*matches)(const std::string&, const std::string&)) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return matches(pattern, name); });
  };
  switch (kind) {
    case Kind::kDns:
      return any(NamesOf(certificate, GEN_DNS), MatchesDns);
    case Kind::kEmail:
      return any(NamesOf(certificate, GEN_EMAIL), MatchesEmail);
    case Kind::kUri:
      return any(NamesOf(certificate, GEN_URI), MatchesUri);
    case Kind::kSpiffe: {
      const std::vector<std::string> uris = NamesOf(certificate, GEN_URI);
      return uris.size() == 1 && any(uris, MatchesUri);
    }
    case Kind::kSubject:
      return !pattern.empty() && SubjectOf(certificate) == pattern;
  }
  return false;
}

}  // namespace nest_hsm
