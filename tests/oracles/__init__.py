"""Independent references for the tests.

None of these modules imports the package under test, and each reaches its numbers by another road:

* `highprec`: Taylor series and block exponentials in 60-digit arithmetic;
* `replay`: SciPy's DOP853 on the factor form, with parameters that may depend on depth;
* `quadrature`: the softmax average itself, by Gauss-Hermite nodes or by loops over tokens.

A head is the tuple `(B, V, query_bias, value_bias)`: at a query x the logit of a key y is y^T (B x + query_bias), and
the head's velocity is V times the average key, plus value_bias. Either bias may be None.
"""
