// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

struct Params {
    address loanToken;
    address collateralToken;
    address oracle;
    address irm;
    uint256 lltv;
}

struct Market {
    uint128 totalSupplyAssets;
    uint128 totalSupplyShares;
    uint128 totalBorrowAssets;
    uint128 totalBorrowShares;
    uint128 lastUpdate;
    uint128 fee;
}

/// A Morpho interest-rate model without memory: a utilization of x percent costs x percent a year. For local chains only.
contract UtilizationIrm {
    function borrowRateView(Params memory, Market memory market) public pure returns (uint256) {
        if (market.totalSupplyAssets == 0) return 0;
        return uint256(market.totalBorrowAssets) * 1e18 / market.totalSupplyAssets / 365 days;
    }

    function borrowRate(Params memory params, Market memory market) external pure returns (uint256) {
        return borrowRateView(params, market);
    }
}
