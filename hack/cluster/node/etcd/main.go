// Command etcd is etcd's own server: its module has replace directives, so
// "go install module@version" refuses it and this module pins it instead.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
