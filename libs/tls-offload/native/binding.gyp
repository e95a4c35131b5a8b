{
  # 2^24 records: fewer in a build that shows what happens then.
  "variables": { "sanitize%": 0, "key_log%": 0, "records_per_key%": 16777216 },
  "targets": [
    {
      "target_name": "tls_offload",
      "sources": [
        "src/bind_client_context.cc",
        "src/bind_forwarding.cc",
        "src/bind_peer_auth.cc",
        "src/bind_server_context.cc",
        "src/bind_session.cc",
        "src/bind_staple.cc",
        "src/bind_ticket_keys.cc",
        "src/binding.cc",
        "src/certificate.cc",
        "src/client_context.cc",
        "src/client_rule.cc",
        "src/crl.cc",
        "src/delegated_key.cc",
        "src/delegated_signature.cc",
        "src/forwarding.cc",
        "src/key_log.cc",
        "src/memory_bio.cc",
        "src/openssl.cc",
        "src/peer_auth.cc",
        "src/provider.cc",
        "src/pump.cc",
        "src/self_test.cc",
        "src/server_context.cc",
        "src/server_name.cc",
        "src/session.cc",
        "src/signature_request.cc",
        "src/ssl_context.cc",
        "src/staple.cc",
        "src/ticket_keys.cc",
        "src/tcp_end.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      # SWALLOW: a worker that is ended while an addon loads or works takes no exception any more, and must not take the process with it.
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "OPENSSL_API_COMPAT=30000", "OPENSSL_NO_DEPRECATED", "NEST_HSM_RECORDS_PER_KEY=<(records_per_key)"],
      "cflags_cc!": ["-std=gnu++20", "-Wno-unused-parameter"],
      "cflags!": ["-Wno-unused-parameter"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"],
      # A symbol that this Node does not export must fail the load, where it can be reported, not the first call.
      "ldflags": ["-Wl,-z,now", "-Wl,-z,relro"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "13.5",
        "OTHER_CPLUSPLUSFLAGS": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
      },
      "conditions": [
        # Writes the secrets of every connection to a file: for debugging, and never for a binary that is shipped.
        ["key_log==1", { "defines": ["NEST_HSM_KEY_LOG"] }],
        ["sanitize==1", {
          "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
          "cflags_cc!": ["-O3"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
