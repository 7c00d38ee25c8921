package main

import "flag"

var reportCommand = command{name: "report", prepare: func(*flag.FlagSet) action { return nil }}
