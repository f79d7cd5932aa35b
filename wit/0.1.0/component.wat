;; A map of interface version 0.1.0, as any toolchain might have built it, kept as it is: servers run it for ever
;; (host/src/wasm/tests/hostile/files.rs). It answers a batch of one row with the batch itself. A row "fail" it fails by an answer,
;; a row "last words" by a trap.
(component
  (type $types (instance
    (type $f (record (field "row" u32) (field "message" string)))
    (export "failure" (type $failure (eq $f)))
    (type $a (record (field "values" string) (field "failures" (list $failure))))
    (export "answers" (type (eq $a)))))
  (import "sangre:node/types@0.1.0" (instance $types (type $types)))
  (alias export $types "answers" (type $answers))
  (import "sangre:node/log@0.1.0" (instance $log
    (type $l (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (export "write" (func (param "level" $level) (param "message" string)))
    (export "fail" (func (param "message" string)))))
  (core module $libc
    (memory (export "memory") 8)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
  (core instance $libc (instantiate $libc))
  (core func $write (canon lower (func $log "write") (memory (core memory $libc "memory"))))
  (core func $fail (canon lower (func $log "fail") (memory (core memory $libc "memory"))))
  (core instance $host (export "write" (func $write)) (export "fail" (func $fail)))
  (core module $node
    (import "libc" "memory" (memory 8))
    (import "host" "write" (func $write (param i32 i32 i32)))
    (import "host" "fail" (func $fail (param i32 i32)))
    (data (i32.const 64) "as it was told")
    (data (i32.const 96) "its last words")
    (data (i32.const 128) "[null]")
    (data (i32.const 160) "called")
    ;; What stands where the row begins: `[{"args":{},"rows":["fail"]}]`
    (func $row (param $at i32) (result i32) (i32.load align=1 (i32.add (local.get $at) (i32.const 21))))
    (func (export "transform") (param $at i32) (param $length i32) (result i32)
      (call $write (i32.const 0) (i32.const 160) (i32.const 6))
      ;; "fail" and "last", as little-endian numbers.
      (if (i32.eq (call $row (local.get $at)) (i32.const 0x6c696166)) (then
        (i32.store (i32.const 0) (i32.const 128))
        (i32.store (i32.const 4) (i32.const 6))
        (i32.store (i32.const 8) (i32.const 32))
        (i32.store (i32.const 12) (i32.const 1))
        (i32.store (i32.const 32) (i32.const 0))
        (i32.store (i32.const 36) (i32.const 64))
        (i32.store (i32.const 40) (i32.const 14))
        (return (i32.const 0))))
      (if (i32.eq (call $row (local.get $at)) (i32.const 0x7473616c)) (then
        (call $fail (i32.const 96) (i32.const 14))
        unreachable))
      ;; [ batch ]
      (i32.store8 (i32.sub (local.get $at) (i32.const 1)) (i32.const 0x5b))
      (i32.store8 (i32.add (local.get $at) (local.get $length)) (i32.const 0x5d))
      (i32.store (i32.const 0) (i32.sub (local.get $at) (i32.const 1)))
      (i32.store (i32.const 4) (i32.add (local.get $length) (i32.const 2)))
      (i32.store (i32.const 8) (i32.const 0))
      (i32.store (i32.const 12) (i32.const 0))
      (i32.const 0)))
  (core instance $node (instantiate $node (with "libc" (instance $libc)) (with "host" (instance $host))))
  (func $transform (param "batch" string) (result $answers) (canon lift (core func $node "transform")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (instance $map (export "transform" (func $transform)))
  (export "sangre:node/map-rows@0.1.0" (instance $map)))
