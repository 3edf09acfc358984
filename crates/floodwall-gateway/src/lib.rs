//! Alone has clients' sockets: accept stage, TLS, meter, limits, rules, upstream pool.
