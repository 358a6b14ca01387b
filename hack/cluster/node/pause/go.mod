module m0/hack/cluster/node/pause

go 1.26.0
