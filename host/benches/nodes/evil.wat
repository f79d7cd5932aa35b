;; A guest by hand, beside which others are measured: it answers one value to any batch, "good", but runs EVIL first when the number
;; that the last write left in the batch (`#12;`) is odd. $text and $length are where the answer is.
(component
  (type $interface (instance
    (type $f (record (field "row" u32) (field "message" string)))
    (export "failure" (type $failure (eq $f)))
    (type $a (record (field "values" string) (field "failures" (list $failure))))
    (export "answers" (type (eq $a)))))
  (import "sangre:node/types@0.1.0" (instance $types (type $interface)))
  (alias export $types "answers" (type $answers))
  (core module $m
    (memory (export "memory") 2)
    (data (i32.const 64) "[\"good\"]")
    (data (i32.const 80) "[1,2]")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (func $deep (call $deep))
    (func $odd (param $at i32) (param $n i32) (result i32)
      (local $end i32) (local $odd i32)
      (local.set $end (i32.add (local.get $at) (local.get $n)))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          ;; After the last digit comes a semicolon.
          (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 59))
            (then (local.set $odd (i32.and (i32.load8_u (i32.sub (local.get $at) (i32.const 1))) (i32.const 1)))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))
      (local.get $odd))
    (func (export "call") (param $at i32) (param $n i32) (result i32)
      (local $text i32) (local $length i32)
      (local.set $text (i32.const 64))
      (local.set $length (i32.const 8))
      (if (call $odd (local.get $at) (local.get $n)) (then EVIL))
      (i32.store (i32.const 0) (local.get $text))
      (i32.store (i32.const 4) (local.get $length))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $call (param "batch" string) (result $answers) (canon lift (core func $i "call")
    (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $node (export "transform" (func $call)))
  (export "sangre:node/map-rows@0.1.0" (instance $node)))
