#!/bin/sh
echo "$# $1 $2"
[ "$1" != fail ]
